import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.KafkaException;

/** Reads as a member of a share group (KIP-932) until it is stopped. */
public final class Share implements Driver.Work {
    public Share() {}

    @Override
    public void run(Driver.Task task) {
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(task.settings())) {
            consumer.subscribe(List.of(task.topic()));
            while (!task.stopped) {
                try {
                    for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                        task.say("value", record.value(), "partition", record.partition(), "offset", record.offset());
                    }
                } catch (KafkaException error) {
                    task.failed(error);
                }
            }
        }
    }
}
