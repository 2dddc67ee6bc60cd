import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/** Reads until it is stopped, and asks for offsets. */
final class Consume {
    private static final Duration POLL = Duration.ofMillis(100);

    private Consume() {}

    static void consume(Driver.Task task) {
        List<TopicPartition> partitions = task.partitions();
        boolean commits = task.command.has("commit");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(task.settings())) {
            if (partitions == null) {
                consumer.subscribe(List.of(task.topic()), new Announce(task));
            } else {
                consumer.assign(partitions);
                task.say("assigned", indexes(partitions));
            }
            JsonNode from = task.command.get("seek");
            if (from != null && !from.isNull()) {
                partitions.forEach(partition -> consumer.seek(partition, from.asLong()));
            }
            while (!task.stopped) {
                try {
                    poll(task, consumer, commits);
                } catch (KafkaException error) {
                    task.failed(error);
                }
            }
        }
    }

    private static void poll(Driver.Task task, KafkaConsumer<String, String> consumer, boolean commits) {
        ConsumerRecords<String, String> records = consumer.poll(POLL);
        for (ConsumerRecord<String, String> record : records) {
            task.say("value", record.value(), "partition", record.partition(), "offset", record.offset());
        }
        if (commits && !records.isEmpty()) {
            consumer.commitSync();
            task.say("committed", true);
        }
    }

    /** What the consumer says about offsets of all the task's partitions, each question on its own. */
    static void offsets(Driver.Task task) {
        List<TopicPartition> partitions = task.partitions();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(task.settings())) {
            ask(task, "beginning", () -> consumer.beginningOffsets(partitions));
            ask(task, "end", () -> consumer.endOffsets(partitions));
            if (task.settings().containsKey("group.id")) {
                ask(task, "committed", () -> consumer.committed(new HashSet<>(partitions)));
            }
        }
    }

    private static void ask(Driver.Task task, String what, java.util.function.Supplier<Map<TopicPartition, ?>> ask) {
        try {
            ask.get().forEach((partition, offset) ->
                task.say("asked", what, "partition", partition.partition(), "says", String.valueOf(offset)));
        } catch (KafkaException error) {
            task.failed(error, "asked", what);
        }
    }

    private static List<Integer> indexes(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).sorted().toList();
    }

    /** Says what the group gives to the consumer, and takes. */
    private static final class Announce implements ConsumerRebalanceListener {
        private final Driver.Task task;

        Announce(Driver.Task task) {
            this.task = task;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            task.say("assigned", indexes(partitions));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            task.say("revoked", indexes(partitions));
        }
    }
}
