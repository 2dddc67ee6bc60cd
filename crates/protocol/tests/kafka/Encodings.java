// What Kafka's own serializers make of every message: one line per release, API, version and
// direction, with the length and CRC-32C of the message with all fields at their defaults, and
// of the message with all fields of the version set by the rule in `value` below.
//
//   java -cp '<folder of a release's jars>/*' Encodings.java <release> >> encodings.txt

import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

public class Encodings {
    public static void main(String[] arguments) throws Exception {
        for (ApiMessageType type : ApiMessageType.values()) {
            Schema[] requests = type.requestSchemas();
            for (int version = 0; version < requests.length; version++) {
                if (requests[version] == null) continue;
                line(arguments[0], type, version, "request", type::newRequest, requests[version]);
                Schema response = type.responseSchemas()[version];
                line(arguments[0], type, version, "response", type::newResponse, response);
            }
        }
    }

    interface Maker { Message make(); }

    static void line(String release, ApiMessageType type, int version, String direction,
                     Maker maker, Schema schema) throws Exception {
        Message filled = maker.make();
        fill(filled, schema);
        System.out.printf("%s %d %d %s %s %s%n", release, type.apiKey(), version, direction,
            encoding(maker.make(), version), encoding(filled, version));
    }

    static String encoding(Message message, int version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, (short) version));
        message.write(new ByteBufferAccessor(buffer), cache, (short) version);
        buffer.flip();
        CRC32C crc = new CRC32C();
        int length = buffer.remaining();
        crc.update(buffer.duplicate());
        return length + ":" + Long.toHexString(crc.getValue());
    }

    static void fill(Object message, Schema schema) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                java.lang.reflect.Field map = TaggedFields.class.getDeclaredField("fields");
                map.setAccessible(true);
                for (Object field : ((Map<?, ?>) map.get(bound.def.type)).values()) {
                    set(message, ((Field) field).name, ((Field) field).type);
                }
            } else {
                set(message, bound.def.name, bound.def.type);
            }
        }
    }

    static void set(Object message, String name,
                    org.apache.kafka.common.protocol.types.Type type) throws Exception {
        String wanted = "set" + name.replace("_", "");
        for (Method method : message.getClass().getMethods()) {
            if (method.getName().equalsIgnoreCase(wanted)) {
                method.invoke(message, value(method.getGenericParameterTypes()[0], type));
                return;
            }
        }
        throw new IllegalStateException(message.getClass() + " has no " + wanted);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    static Object value(Type java, org.apache.kafka.common.protocol.types.Type type)
            throws Exception {
        if (java == boolean.class) return true;
        if (java == byte.class || java == Byte.class) return (byte) 7;
        if (java == short.class || java == Short.class) return (short) 8;
        if (java == int.class || java == Integer.class) return 9;
        if (java == long.class || java == Long.class) return 10L;
        if (java == double.class) return 1.5;
        if (java == String.class) return "text";
        if (java == Uuid.class) return new Uuid(1, 2);
        if (java == byte[].class) return new byte[] {1, 2, 3};
        if (java == ByteBuffer.class) return ByteBuffer.wrap(new byte[] {1, 2, 3});
        if (java instanceof ParameterizedType) {
            Type element = ((ParameterizedType) java).getActualTypeArguments()[0];
            List list = new ArrayList();
            list.add(value(element, type.arrayElementType().orElse(null)));
            return list;
        }
        Class of = (Class) java;
        if (of.getSimpleName().equals("BaseRecords")) {
            return records().getMethod("readableRecords", ByteBuffer.class)
                .invoke(null, ByteBuffer.wrap(new byte[] {1, 2, 3, 4}));
        }
        if (Collection.class.isAssignableFrom(of)) {
            Type parent = of.getGenericSuperclass();
            Type element = ((ParameterizedType) parent).getActualTypeArguments()[0];
            Collection collection = (Collection) of.getConstructor().newInstance();
            collection.add(value(element, type.arrayElementType().orElse(null)));
            return collection;
        }
        Object struct = of.getConstructor().newInstance();
        fill(struct, (Schema) schemaOf(type));
        return struct;
    }

    // Moved between the releases.
    static Class<?> records() throws Exception {
        try {
            return Class.forName("org.apache.kafka.common.record.MemoryRecords");
        } catch (ClassNotFoundException moved) {
            return Class.forName("org.apache.kafka.common.record.internal.MemoryRecords");
        }
    }

    // A nullable struct's schema is wrapped.
    static Object schemaOf(org.apache.kafka.common.protocol.types.Type type) throws Exception {
        if (type instanceof Schema) return type;
        for (java.lang.reflect.Field field : type.getClass().getDeclaredFields()) {
            field.setAccessible(true);
            if (field.get(type) instanceof Schema) return field.get(type);
        }
        throw new IllegalStateException("no schema in " + type);
    }
}
