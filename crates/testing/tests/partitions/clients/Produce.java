import com.fasterxml.jackson.databind.JsonNode;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Sends records, and says of each what became of it. */
final class Produce {
    private Produce() {}

    static void run(Driver.Task task) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(task.settings())) {
            JsonNode transactions = task.command.get("transactions");
            if (transactions == null || transactions.isNull()) {
                send(task, producer, task.command.get("records"));
                return;
            }
            producer.initTransactions();
            int number = 0;
            for (JsonNode transaction : transactions) {
                transact(task, producer, transaction, number++);
            }
        }
    }

    private static void send(Driver.Task task, KafkaProducer<String, String> producer, JsonNode records)
            throws InterruptedException {
        JsonNode pace = task.command.get("pace");
        long between = pace == null || pace.isNull() ? 0 : 1_000_000_000L / pace.asLong();
        long next = System.nanoTime();
        for (JsonNode record : records) {
            if (task.stopped) {
                return;
            }
            send(task, producer, record.get("key"), record.get("partition"), record.get("value").asText());
            next += between;
            TimeUnit.NANOSECONDS.sleep(between == 0 ? 0 : next - System.nanoTime());
        }
    }

    private static void send(Driver.Task task, KafkaProducer<String, String> producer, JsonNode key,
            JsonNode partition, String value) {
        Integer index = partition == null || partition.isNull() ? null : partition.asInt();
        String text = key == null || key.isNull() ? null : key.asText();
        long begun = System.nanoTime();
        producer.send(new ProducerRecord<>(task.topic(), index, text, value), (put, error) -> {
            long after = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begun);
            if (error == null) {
                task.say("value", value, "partition", put.partition(), "offset", put.offset());
            } else {
                task.failed(error, "value", value, "after", after);
            }
        });
    }

    /** One transaction: begun, written and ended as told; aborted where that fails. */
    private static void transact(Driver.Task task, KafkaProducer<String, String> producer,
            JsonNode transaction, int number) throws InterruptedException {
        String end = transaction.get("end").asText();
        try {
            producer.beginTransaction();
            send(task, producer, transaction.get("records"));
            producer.flush();
            if (end.equals("commit")) {
                producer.commitTransaction();
            } else {
                producer.abortTransaction();
            }
            task.say("transaction", number, "ended", end);
        } catch (org.apache.kafka.common.KafkaException error) {
            // What went wrong may be inside what says that something did.
            Throwable why = error.getCause() == null ? error : error.getCause();
            task.failed(why, "transaction", number, "ended", "error");
            producer.abortTransaction();
        }
    }
}
