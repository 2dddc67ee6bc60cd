import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.common.TopicPartition;

/**
 * Kafka's Java clients, told what to do by lines of JSON on standard input.
 *
 * Each line is a task, which runs in a thread of its own and says what happens
 * by lines of JSON with its id; the last of them has "done". A line with "stop"
 * ends a task that goes on until then.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<Integer, Task> TASKS = new ConcurrentHashMap<>();
    private static final PrintStream OUT = System.out;

    /** Something that clients do. */
    interface Work {
        void run(Task task) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        // Logs go elsewhere.
        System.setOut(System.err);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode command = JSON.readTree(line);
            int id = command.get("id").asInt();
            if (command.has("stop")) {
                Task task = TASKS.get(id);
                if (task != null) {
                    task.stopped = true;
                }
                continue;
            }
            Task task = new Task(id, command);
            TASKS.put(id, task);
            Work work = work(command.get("do").asText());
            Thread thread = new Thread(() -> task.run(work));
            thread.setDaemon(true);
            thread.start();
        }
    }

    private static Work work(String name) throws Exception {
        switch (name) {
            case "produce": return Produce::run;
            case "consume": return Consume::consume;
            case "offsets": return Consume::offsets;
            case "share": return share();
            default: return task -> Administer.run(name, task);
        }
    }

    /** Share consumers are not in every release: their class is compiled where they are. */
    private static Work share() throws Exception {
        return (Work) Class.forName("Share").getDeclaredConstructor().newInstance();
    }

    /** One line of standard input. */
    static final class Task {
        final int id;
        final JsonNode command;
        volatile boolean stopped;

        Task(int id, JsonNode command) {
            this.id = id;
            this.command = command;
        }

        void run(Work work) {
            try {
                work.run(this);
                say("done", true);
            } catch (Throwable error) {
                failed(error, "done", true);
            } finally {
                TASKS.remove(id);
            }
        }

        String topic() {
            return command.get("topic").asText();
        }

        String text(String field) {
            JsonNode value = command.get(field);
            return value == null || value.isNull() ? null : value.asText();
        }

        /** The settings of the client, and those that every task has alike. */
        Properties settings() {
            String string = "org.apache.kafka.common.serialization.String";
            Properties properties = new Properties();
            for (String of : new String[] {"key", "value"}) {
                properties.put(of + ".serializer", string + "Serializer");
                properties.put(of + ".deserializer", string + "Deserializer");
            }
            command.get("settings").fields().forEachRemaining(
                setting -> properties.put(setting.getKey(), setting.getValue().asText()));
            return properties;
        }

        /** The partitions that the task is about; null if it names none. */
        List<TopicPartition> partitions() {
            JsonNode listed = command.get("partitions");
            if (listed == null || listed.isNull()) {
                return null;
            }
            List<TopicPartition> partitions = new ArrayList<>();
            listed.forEach(index -> partitions.add(new TopicPartition(topic(), index.asInt())));
            return partitions;
        }

        /** Says something: names and values in turn. */
        void say(Object... fields) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("id", id);
            for (int i = 0; i < fields.length; i += 2) {
                line.put((String) fields[i], fields[i + 1]);
            }
            try {
                String text = JSON.writeValueAsString(line);
                synchronized (OUT) {
                    OUT.println(text);
                    OUT.flush();
                }
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }

        /** Says an error, beside other things. */
        void failed(Throwable error, Object... fields) {
            while (error.getCause() != null
                    && (error instanceof ExecutionException || error instanceof CompletionException)) {
                error = error.getCause();
            }
            Object[] all = new Object[fields.length + 4];
            System.arraycopy(fields, 0, all, 0, fields.length);
            all[fields.length] = "error";
            all[fields.length + 1] = error.getClass().getSimpleName();
            all[fields.length + 2] = "message";
            all[fields.length + 3] = String.valueOf(error.getMessage());
            say(all);
        }
    }
}
