import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.function.Supplier;

/** Posts a body in each of the ways of Java's client, over the connections that it keeps: URL BODY. */
public class Post {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        Supplier<BodyPublisher> whole = () -> BodyPublishers.ofString(arguments[1]);
        Supplier<BodyPublisher> chunked =
                () -> BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(arguments[1].getBytes()));
        for (var body : new Supplier[] {whole, whole, chunked}) {
            for (var expects : new boolean[] {false, true}) {
                var request = HttpRequest.newBuilder(URI.create(arguments[0]))
                        .expectContinue(expects)
                        .POST((BodyPublisher) body.get())
                        .build();
                System.out.println(client.send(request, BodyHandlers.ofString()).body());
            }
        }
    }
}
