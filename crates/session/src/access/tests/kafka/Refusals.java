// What Kafka's own classes answer to a request that is refused as a whole: reads lines of API,
// version, error code and request body (hex), and writes them with the response's body (hex)
// added, for `refusals.txt`. The lines come from the test `refusals::write_requests`:
//
//   TUBEWAY_REFUSALS=requests.txt cargo test -p tubeway-session access::tests::refusals
//   java -cp '<folder of the jars of Kafka 4.3.1>/*' Refusals.java < requests.txt > refusals.txt
//
// Where a broker puts its own addresses into the message, the error's standard message is taken.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Set;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.requests.AbstractRequest;

public class Refusals {
    // Refused by an exception with a message of the broker's.
    static final Set<Integer> SAID = Set.of(29, 30, 31, 43, 45, 46, 51, 57, 64);

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ", -1);
            ApiKeys api = ApiKeys.forId(Integer.parseInt(words[0]));
            short version = Short.parseShort(words[1]);
            Errors error = Errors.forCode(Short.parseShort(words[2]));
            boolean said = SAID.contains((int) api.id);
            Exception exception = said
                ? error.exception(error.message().replace('.', '!')) : error.exception();
            ByteBuffer body = ByteBuffer.wrap(HexFormat.of().parseHex(words[3]));
            AbstractRequest request = AbstractRequest.parseRequest(
                api, version, new ByteBufferAccessor(body)).request;
            ApiMessage response = api.id >= 83 && api.id <= 87
                ? global(request, error) : request.getErrorResponse(0, exception).data();
            byte[] bytes = MessageUtil.toByteBufferAccessor(response, version).buffer().array();
            String hex = HexFormat.of().formatHex(bytes);
            if (said) hex = hex.replace(hex(error.message().replace('.', '!')), hex(error.message()));
            System.out.println(line + " " + hex);
        }
    }

    // The refusal of the APIs that keep the state of share groups is made by another method.
    static ApiMessage global(AbstractRequest request, Errors error) throws Exception {
        Class<?> response = Class.forName(request.getClass().getName().replace("Request", "Response"));
        return (ApiMessage) response
            .getMethod("toGlobalErrorResponse", request.data().getClass(), Errors.class)
            .invoke(null, request.data(), error);
    }

    static String hex(String text) {
        return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
    }
}
