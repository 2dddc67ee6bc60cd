import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;

/** What an administrator does. */
final class Administer {
    private Administer() {}

    static void run(String name, Driver.Task task) throws Exception {
        try (Admin admin = Admin.create(task.settings())) {
            switch (name) {
                case "create" -> create(task, admin);
                case "configure" -> configure(task, admin);
                case "describe" -> describe(task, admin);
                case "list offsets" -> listOffsets(task, admin);
                case "delete records" -> deleteRecords(task, admin);
                default -> throw new IllegalArgumentException(name);
            }
        }
    }

    private static void create(Driver.Task task, Admin admin) throws Exception {
        int partitions = task.command.get("count").asInt();
        admin.createTopics(List.of(new NewTopic(task.topic(), partitions, (short) 1))).all().get();
    }

    /** Sets one option of a group. */
    private static void configure(Driver.Task task, Admin admin) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.forId((byte) 32), task.text("group"));
        AlterConfigOp set = new AlterConfigOp(
            new ConfigEntry(task.text("name"), task.text("value")), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(group, List.of(set))).all().get();
    }

    private static void describe(Driver.Task task, Admin admin) throws Exception {
        var described = admin.describeTopics(List.of(task.topic())).allTopicNames().get();
        for (TopicPartitionInfo partition : described.get(task.topic()).partitions()) {
            String leader = partition.leader() == null ? "none" : partition.leader().idString();
            task.say("partition", partition.partition(), "says", leader);
        }
    }

    private static void listOffsets(Driver.Task task, Admin admin) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        task.partitions().forEach(partition -> asked.put(partition, OffsetSpec.latest()));
        ListOffsetsResult result = admin.listOffsets(asked);
        for (TopicPartition partition : task.partitions()) {
            tell(task, partition, result.partitionResult(partition).thenApply(ListOffsetsResult.ListOffsetsResultInfo::offset));
        }
    }

    private static void deleteRecords(Driver.Task task, Admin admin) throws Exception {
        RecordsToDelete before = RecordsToDelete.beforeOffset(task.command.get("before").asLong());
        Map<TopicPartition, RecordsToDelete> asked = new HashMap<>();
        task.partitions().forEach(partition -> asked.put(partition, before));
        var results = admin.deleteRecords(asked).lowWatermarks();
        for (TopicPartition partition : task.partitions()) {
            tell(task, partition, results.get(partition).thenApply(low -> low.lowWatermark()));
        }
    }

    private static void tell(Driver.Task task, TopicPartition partition, KafkaFuture<?> future) throws Exception {
        try {
            task.say("partition", partition.partition(), "says", String.valueOf(future.get()));
        } catch (java.util.concurrent.ExecutionException error) {
            task.failed(error, "partition", partition.partition());
        }
    }
}
