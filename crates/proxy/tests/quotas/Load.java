import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Loads that do one thing as fast as they are let, each in a thread of its own.
 *
 * Reads "start NAME MODE [property=value ...]" and "stop NAME", one a line. Writes "NAME nanos
 * count" whenever more has been done, "NAME end" when a load has ended, and "NAME failed ..." when
 * it broke. A property that begins with a capital is the load's, any other one its client's.
 */
public final class Load {
    /** Lines of one load are no closer than this, in nanoseconds. */
    private static final long SPACING = 5_000_000;

    private static final Map<String, Load> LOADS = new ConcurrentHashMap<>();

    private final String name;
    private final Map<String, Object> properties = new HashMap<>();
    private final Map<String, String> own = new HashMap<>();
    private volatile boolean stopped;
    private long count;
    private long told;

    private interface Mode {
        void run() throws Exception;
    }

    private Load(String[] words) {
        name = words[1];
        for (int i = 3; i < words.length; i++) {
            String[] pair = words[i].split("=", 2);
            if (Character.isUpperCase(pair[0].charAt(0))) {
                own.put(pair[0], pair[1]);
            } else {
                properties.put(pair[0], pair[1]);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("stop")) {
                LOADS.get(words[1]).stopped = true;
            } else {
                Load load = new Load(words);
                LOADS.put(load.name, load);
                new Thread(() -> load.run(words[2]), load.name).start();
            }
        }
        System.exit(0);
    }

    private void run(String what) {
        Map<String, Mode> modes = Map.of(
            "create", this::create,
            "produce", this::produce,
            "pace", this::pace,
            "consume", this::consume,
            "requests", this::requests,
            "metadata", this::metadata,
            "commits", this::commits,
            "joins", this::joins,
            "connections", this::connections);
        try {
            modes.get(what).run();
            say("end");
        } catch (Throwable error) {
            say("failed " + error.toString().replace('\n', ' '));
        }
    }

    private void say(String what) {
        synchronized (System.out) {
            System.out.println(name + " " + what);
            System.out.flush();
        }
    }

    /** So much has been done by now. */
    private synchronized void at(long count) {
        long now = System.nanoTime();
        this.count = count;
        if (now - told >= SPACING) {
            told = now;
            say(now + " " + count);
        }
    }

    private synchronized void add(long more) {
        at(count + more);
    }

    private int number(String name) {
        return Integer.parseInt(own.get(name));
    }

    /** Creates topics of one partition. */
    private void create() throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String topic : own.get("Topics").split(",")) {
            topics.add(new NewTopic(topic, 1, (short) 1));
        }
        try (Admin admin = Admin.create(properties)) {
            admin.createTopics(topics).all().get();
        }
    }

    private KafkaProducer<byte[], byte[]> producer() {
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Counts the records that the broker has acknowledged. */
    private void produce() throws Exception {
        byte[] value = new byte[number("Size")];
        long records = own.containsKey("Records") ? number("Records") : Long.MAX_VALUE;
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            for (long sent = 0; sent < records && !stopped; sent++) {
                producer.send(new ProducerRecord<>(own.get("Topic"), value), (done, error) -> {
                    if (error == null) {
                        add(1);
                    } else if (!stopped) {
                        say("failed " + error);
                    }
                });
            }
            if (!stopped) {
                producer.flush();
            } else {
                producer.close(Duration.ZERO);
            }
        }
    }

    /**
     * One record at a time, at most so many a second. Says nanoseconds from when each was to be
     * sent, which is not before the one ahead of it was acknowledged, to its own acknowledgement.
     */
    private void pace() throws Exception {
        byte[] value = new byte[number("Size")];
        long every = 1_000_000_000L / number("Rate");
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            producer.send(new ProducerRecord<>(own.get("Topic"), value)).get();
            long due = System.nanoTime();
            while (!stopped) {
                for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
                    LockSupport.parkNanos(left);
                }
                producer.send(new ProducerRecord<>(own.get("Topic"), value)).get();
                long now = System.nanoTime();
                say(now + " " + (now - due));
                due = Math.max(due + every, now);
            }
        }
    }

    private Consumer<byte[], byte[]> consumer() {
        return new KafkaConsumer<>(
            properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Reads a topic from its beginning; counts records, or bytes that came. */
    private void consume() {
        TopicPartition from = new TopicPartition(own.get("Topic"), 0);
        boolean bytes = own.get("Count").equals("bytes");
        try (Consumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(from));
            consumer.seekToBeginning(List.of(from));
            while (!stopped) {
                int records = consumer.poll(Duration.ofSeconds(1)).count();
                if (records > 0) {
                    at(bytes ? metric(consumer.metrics(), "incoming-byte-total") : count + records);
                }
            }
        }
    }

    /** Counts every request that the client has sent. */
    private void requests() throws Exception {
        try (Admin admin = Admin.create(properties)) {
            while (!stopped) {
                admin.describeCluster().nodes().get();
                at(metric(admin.metrics(), "request-total"));
            }
        }
    }

    /** Each listing of topics is one Metadata request. */
    private void metadata() throws Exception {
        try (Admin admin = Admin.create(properties)) {
            while (!stopped) {
                admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
                add(1);
            }
        }
    }

    private void commits() {
        TopicPartition of = new TopicPartition(own.get("Topic"), 0);
        try (Consumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(of));
            for (long offset = 0; !stopped; offset++) {
                consumer.commitSync(Map.of(of, new OffsetAndMetadata(offset)));
                add(1);
            }
        }
    }

    /** Members join groups and leave them; counts how often one was given its partition. */
    private void joins() throws Exception {
        Collection<Thread> members = new ArrayList<>();
        for (int i = 0; i < number("Members"); i++) {
            Map<String, Object> properties = new HashMap<>(this.properties);
            properties.put("group.id", name + i);
            members.add(thread(() -> {
                try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                        properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                    while (!stopped) {
                        consumer.subscribe(List.of(own.get("Topic")));
                        while (consumer.assignment().isEmpty() && !stopped) {
                            consumer.poll(Duration.ofMillis(5));
                        }
                        add(1);
                        consumer.unsubscribe();
                    }
                }
            }));
        }
        for (Thread member : members) {
            member.join();
        }
    }

    /** Clients that come, ask one thing and go; counts the connections that they have made. */
    private void connections() throws Exception {
        Collection<Thread> clients = new ArrayList<>();
        for (int i = 0; i < number("Clients"); i++) {
            clients.add(thread(() -> {
                while (!stopped) {
                    try (KafkaProducer<byte[], byte[]> producer = producer()) {
                        producer.partitionsFor(own.get("Topic"));
                        add(metric(producer.metrics(), "connection-creation-total"));
                    }
                }
            }));
        }
        for (Thread client : clients) {
            client.join();
        }
    }

    private Thread thread(Mode mode) {
        Thread thread = new Thread(() -> {
            try {
                mode.run();
            } catch (Throwable error) {
                say("failed " + error.toString().replace('\n', ' '));
            }
        });
        thread.start();
        return thread;
    }

    /** A client's own count of what it has done in all. */
    private static long metric(Map<MetricName, ? extends Metric> metrics, String name) {
        AtomicLong sum = new AtomicLong();
        metrics.forEach((key, metric) -> {
            // The same is told again by node, under another group's name.
            if (key.name().equals(name) && !key.group().contains("node")) {
                sum.addAndGet(((Double) metric.metricValue()).longValue());
            }
        });
        return sum.get();
    }
}
