// Kafka's own serializers, as a process: a request a frame on standard input, an answer a frame on
// standard output. A frame is its length in four bytes, and as many bytes; all numbers are
// big-endian. Each request begins with a byte that says what is asked:
//
//   0                                     every API, version and direction that this release has
//   1 api version direction count case…   what Kafka writes after reading each case
//   2 …                                   a records field, as Kafka writes it (see writeRecords)
//   3 records…                            what Kafka reads in a records field, as text
//
// The package of Kafka's records moved between releases: the test names it here before compiling.

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.TimestampType;
import RECORDS.CompressionType;
import RECORDS.ControlRecordType;
import RECORDS.EndTransactionMarker;
import RECORDS.MemoryRecords;
import RECORDS.MemoryRecordsBuilder;
import RECORDS.MutableRecordBatch;
import RECORDS.Record;
import RECORDS.SimpleRecord;

public class Codec {
    public static void main(String[] arguments) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        PrintStream stdout = System.out;
        // Whatever else writes there is not an answer.
        System.setOut(System.err);
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(stdout, 1 << 16));
        while (true) {
            byte[] request;
            try {
                request = new byte[in.readInt()];
            } catch (EOFException end) {
                return;
            }
            in.readFully(request);
            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            answer(ByteBuffer.wrap(request), new DataOutputStream(answer));
            out.writeInt(answer.size());
            answer.writeTo(out);
            out.flush();
        }
    }

    static void answer(ByteBuffer request, DataOutputStream answer) throws Exception {
        switch (request.get()) {
            case 0:
                forms(answer);
                return;
            case 1:
                rewrites(request, answer);
                return;
            case 2:
                result(answer, () -> writeRecords(request));
                return;
            case 3:
                result(answer, () -> readRecords(request).getBytes(StandardCharsets.UTF_8));
                return;
            default:
                throw new IllegalArgumentException("no such question");
        }
    }

    interface Work { byte[] run() throws Exception; }

    // A length and bytes; or, for an exception, a length with its sign turned and a message.
    static void result(DataOutputStream answer, Work work) throws Exception {
        try {
            byte[] bytes = work.run();
            answer.writeInt(bytes.length);
            answer.write(bytes);
        } catch (Exception failure) {
            byte[] bytes = ("Kafka says " + failure).getBytes(StandardCharsets.UTF_8);
            answer.writeInt(-bytes.length);
            answer.write(bytes);
        }
    }

    static void forms(DataOutputStream answer) throws Exception {
        for (ApiMessageType type : ApiMessageType.values()) {
            for (int direction = 0; direction < 2; direction++) {
                Object[] schemas = direction == 0 ? type.requestSchemas() : type.responseSchemas();
                for (int version = 0; version < schemas.length; version++) {
                    if (schemas[version] == null) continue;
                    answer.writeShort(type.apiKey());
                    answer.writeShort(version);
                    answer.writeByte(direction);
                }
            }
        }
    }

    static void rewrites(ByteBuffer request, DataOutputStream answer) throws Exception {
        ApiMessageType type = ApiMessageType.fromApiKey(request.getShort());
        short version = request.getShort();
        boolean isRequest = request.get() == 0;
        for (int left = request.getInt(); left > 0; left--) {
            int length = request.getInt();
            ByteBuffer bytes = request.slice().limit(length);
            request.position(request.position() + length);
            result(answer, () -> rewrite(isRequest ? type.newRequest() : type.newResponse(),
                bytes.slice(), version));
        }
    }

    static byte[] rewrite(Message message, ByteBuffer bytes, short version) {
        message.read(new ByteBufferAccessor(bytes), version);
        if (bytes.hasRemaining()) {
            throw new IllegalStateException(bytes.remaining() + " bytes are left");
        }
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer written = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(written), cache, version);
        if (written.hasRemaining()) {
            throw new IllegalStateException("Kafka's size is not what it writes");
        }
        return written.array();
    }

    // format, codec, timestamp type, first offset, append time, producer id, epoch, first
    // sequence, transactional, control (0 no, 1 abort, 2 commit), leader epoch; then records:
    // offset, timestamp, key, value, headers. Keys, values and headers have a length of -1 for
    // null.
    static byte[] writeRecords(ByteBuffer from) {
        byte magic = from.get();
        Compression compression = Compression.of(CompressionType.forId(from.get())).build();
        TimestampType stamps = TimestampType.forName(
            from.get() == 0 ? "CreateTime" : "LogAppendTime");
        long firstOffset = from.getLong();
        long appendTime = from.getLong();
        long producer = from.getLong();
        short epoch = from.getShort();
        int sequence = from.getInt();
        boolean transactional = from.get() == 1;
        int control = from.get();
        int leaderEpoch = from.getInt();
        if (control != 0) {
            ControlRecordType end = control == 1 ? ControlRecordType.ABORT : ControlRecordType.COMMIT;
            return bytes(MemoryRecords.withEndTransactionMarker(firstOffset, appendTime,
                leaderEpoch, producer, epoch, new EndTransactionMarker(end, 7)));
        }
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 16), magic,
            compression, stamps, firstOffset, appendTime, producer, epoch, sequence,
            transactional, leaderEpoch);
        for (int left = from.getInt(); left > 0; left--) {
            long offset = from.getLong();
            long timestamp = from.getLong();
            byte[] key = optional(from);
            byte[] value = optional(from);
            Header[] headers = new Header[from.getInt()];
            for (int at = 0; at < headers.length; at++) {
                String name = new String(optional(from), StandardCharsets.UTF_8);
                headers[at] = new org.apache.kafka.common.header.internals.RecordHeader(
                    name, optional(from));
            }
            builder.appendWithOffset(offset, new SimpleRecord(timestamp, key, value, headers));
        }
        return bytes(builder.build());
    }

    static byte[] optional(ByteBuffer from) {
        int length = from.getInt();
        if (length < 0) return null;
        byte[] bytes = new byte[length];
        from.get(bytes);
        return bytes;
    }

    static byte[] bytes(MemoryRecords records) {
        ByteBuffer buffer = records.buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static String readRecords(ByteBuffer bytes) {
        StringBuilder text = new StringBuilder();
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(bytes.slice()).batches()) {
            batch.ensureValid();
            text.append(String.format("batch %d codec %d base %d last %d producer %d %d %d "
                + "transactional %b control %b stamps %d epoch %d%n", batch.magic(),
                batch.compressionType().id, batch.baseOffset(), batch.lastOffset(),
                batch.producerId(), batch.producerEpoch(), batch.baseSequence(),
                batch.isTransactional(), batch.isControlBatch(), batch.timestampType().id,
                batch.partitionLeaderEpoch()));
            for (Record record : batch) {
                record.ensureValid();
                text.append(String.format(" %d at %d key %s value %s", record.offset(),
                    record.timestamp(), hex(record.key()), hex(record.value())));
                for (Header header : record.headers()) {
                    text.append(String.format(" %s=%s",
                        hex(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8))),
                        hex(header.value() == null ? null : ByteBuffer.wrap(header.value()))));
                }
                text.append('\n');
            }
        }
        return text.toString();
    }

    static String hex(ByteBuffer bytes) {
        if (bytes == null) return "null";
        StringBuilder text = new StringBuilder("x");
        for (ByteBuffer left = bytes.duplicate(); left.hasRemaining(); ) {
            int value = left.get() & 0xff;
            text.append(Character.forDigit(value >> 4, 16)).append(Character.forDigit(value & 15, 16));
        }
        return text.toString();
    }
}
