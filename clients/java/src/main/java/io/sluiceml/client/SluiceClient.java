package io.sluiceml.client;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/**
 * Client of one Sluice server. Its calls are those of {@link Calls}; they share one HTTP/2 connection.
 *
 * <pre>{@code
 * try (SluiceClient client = SluiceClient.connect("127.0.0.1:50051")) {
 *   System.out.println(client.generate(Requests.prompt("The capital of France is").build()).getOutputs(0).getText());
 * }
 * }</pre>
 */
public final class SluiceClient extends Calls implements AutoCloseable {
  /**
   * Largest answer, in bytes: the server's own limit. gRPC's default of 4 MiB is too small for a long one with
   * log-probabilities.
   */
  private static final int MAX_MESSAGE_BYTES = 16 << 20;

  /**
   * Largest request that is tried again, in bytes, with what goes before it: the server's limit. gRPC's default of 1 MiB is
   * less than that.
   */
  private static final long RETRY_BUFFER_BYTES = MAX_MESSAGE_BYTES + (64 << 10);

  /** How long {@link #close} waits for gRPC to end its work, which takes some milliseconds. */
  private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(5);

  private final ManagedChannel owned; // null: the channel is the caller's

  private SluiceClient(Channel channel, ManagedChannel owned, Duration timeout) {
    super(channel, timeout);
    this.owned = owned;
  }

  /** Makes a client of a server, in plain text and with the defaults of {@link Builder}. */
  public static SluiceClient connect(String target) {
    return builder(target).build();
  }

  /**
   * Begins a client of the server at a target: {@code host:port}, or whatever gRPC knows, such as
   * {@code dns:///sluice.example:50051}.
   */
  public static Builder builder(String target) {
    return new Builder(target);
  }

  /** Makes a client that calls through a channel of the caller's own; closing the client leaves that open. */
  public static SluiceClient over(Channel channel) {
    return new SluiceClient(channel, null, null);
  }

  /** Closes the connection. Calls that run end with {@code UNAVAILABLE}. */
  @Override
  public void close() {
    if (owned == null) {
      return;
    }
    owned.shutdownNow();
    try {
      owned.awaitTermination(CLOSE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** How a client connects. Without {@link #tls}, {@link #trust} and the like the connection is plain text. */
  public static final class Builder {
    private static final Pattern API_KEY = Pattern.compile("[!-~]+");

    private final String target;
    private boolean tls;
    private Path authorities;
    private Path certificate;
    private Path privateKey;
    private ChannelCredentials credentials;
    private String serverName;
    private String apiKey;
    private boolean clearTextApiKey;
    private Duration timeout;
    private RetryPolicy retry = RetryPolicy.DEFAULT;
    private Duration keepAliveInterval = Duration.ofSeconds(30);
    private Duration keepAliveTimeout = Duration.ofSeconds(15);
    private final List<ClientInterceptor> interceptors = new ArrayList<>();
    private Consumer<ManagedChannelBuilder<?>> configure = channel -> { };

    private Builder(String target) {
      this.target = Objects.requireNonNull(target);
    }

    /** Connects with TLS and trusts the authorities that Java brings along. */
    public Builder tls() {
      tls = true;
      return this;
    }

    /** Connects with TLS and trusts the certificate authorities of a PEM file instead of Java's. */
    public Builder trust(Path authorities) {
      this.authorities = authorities;
      return tls();
    }

    /**
     * Connects with TLS and shows a certificate, for servers that ask for one (mutual TLS). Both files are PEM; the key is
     * one of PKCS #8 ({@code BEGIN PRIVATE KEY}), into which {@code openssl pkcs8 -topk8 -nocrypt} turns others.
     */
    public Builder clientCertificate(Path certificate, Path privateKey) {
      this.certificate = certificate;
      this.privateKey = privateKey;
      return tls();
    }

    /** Expects another name in the server's certificate than the target's host. */
    public Builder serverName(String name) {
      serverName = name;
      return this;
    }

    /** Connects with credentials of gRPC's, in place of the above: certificates that are read anew, for example. */
    public Builder credentials(ChannelCredentials credentials) {
      this.credentials = credentials;
      return this;
    }

    /**
     * Sends a key with every call, as {@code authorization: Bearer KEY}. It needs TLS or an address of this machine, lest
     * the key travel in clear text; {@link #allowClearTextApiKey} lifts that.
     */
    public Builder apiKey(String key) {
      apiKey = key;
      return this;
    }

    /** Allows an API key without TLS, where something else protects the connection, such as a mesh's sidecar. */
    public Builder allowClearTextApiKey() {
      clearTextApiKey = true;
      return this;
    }

    /** Sets the deadline of calls that set none. Default: no deadline. */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /** Sets how calls are tried again. Default: {@link RetryPolicy#DEFAULT}. */
    public Builder retry(RetryPolicy policy) {
      retry = policy;
      return this;
    }

    /**
     * Sets how the connection is kept through routers that forget silent ones, and found dead: after an interval of
     * silence, while calls run, comes a ping that must be answered within a timeout. Default: 30 s and 15 s. The server
     * sends away who pings more often than every 10 s.
     */
    public Builder keepAlive(Duration interval, Duration timeout) {
      keepAliveInterval = interval;
      keepAliveTimeout = timeout;
      return this;
    }

    /**
     * Adds an interceptor of gRPC's, such as {@link OpenTelemetryPropagation}. The one that is added first is called first.
     */
    public Builder intercept(ClientInterceptor interceptor) {
      interceptors.add(interceptor);
      return this;
    }

    /** Sets whatever else gRPC's channels have: executors, proxies, load balancing. It runs last, so that it wins. */
    public Builder configure(Consumer<ManagedChannelBuilder<?>> configure) {
      this.configure = this.configure.andThen(configure);
      return this;
    }

    /**
     * Makes the client. It does not connect: the first call does, and fails with {@code UNAVAILABLE} if nothing answers
     * there.
     *
     * @throws UncheckedIOException if a file cannot be read
     * @throws IllegalArgumentException if a file is not what it should be, or the key cannot be sent
     */
    public SluiceClient build() {
      ManagedChannelBuilder<?> builder = channelBuilder()
          .maxInboundMessageSize(MAX_MESSAGE_BYTES)
          .keepAliveTime(keepAliveInterval.toNanos(), TimeUnit.NANOSECONDS)
          .keepAliveTimeout(keepAliveTimeout.toNanos(), TimeUnit.NANOSECONDS);
      if (retry.maxAttempts() > 1) {
        builder.enableRetry().maxRetryAttempts(retry.maxAttempts()).defaultServiceConfig(retry.serviceConfig())
            .perRpcBufferLimit(RETRY_BUFFER_BYTES).retryBufferSize(Long.MAX_VALUE); // the calls bound it
      } else {
        builder.disableRetry();
      }
      if (serverName != null) {
        builder.overrideAuthority(serverName);
      }
      if (apiKey != null) {
        builder.intercept(MetadataUtils.newAttachHeadersInterceptor(authorization()));
      }
      // gRPC calls those that are added last first.
      for (int i = interceptors.size() - 1; i >= 0; i--) {
        builder.intercept(interceptors.get(i));
      }
      configure.accept(builder);
      ManagedChannel channel = builder.build();
      return new SluiceClient(channel, channel, timeout);
    }

    private ManagedChannelBuilder<?> channelBuilder() {
      ChannelCredentials with = channelCredentials();
      try {
        return Grpc.newChannelBuilder(target, with);
      } catch (RuntimeException e) { // gRPC's own types, which are internal
        throw new IllegalArgumentException("no client of %s: %s".formatted(target, e.getMessage()), e);
      }
    }

    private Metadata authorization() {
      if (!API_KEY.matcher(apiKey).matches()) {
        throw new IllegalArgumentException("an API key is printable ASCII without spaces"); // and is not repeated here
      }
      if (!tls && credentials == null && !clearTextApiKey && !Target.isLocal(target)) {
        throw new IllegalArgumentException("an API key needs TLS, since the address is not this machine's");
      }
      Metadata headers = new Metadata();
      headers.put(headerOf("authorization"), "Bearer " + apiKey);
      return headers;
    }

    private ChannelCredentials channelCredentials() {
      if (credentials != null) {
        if (tls) {
          throw new IllegalArgumentException("credentials exclude tls, trust and clientCertificate");
        }
        return credentials;
      }
      if (!tls) {
        return InsecureChannelCredentials.create();
      }
      TlsChannelCredentials.Builder made = TlsChannelCredentials.newBuilder();
      try {
        if (authorities != null) {
          made.trustManager(authorities.toFile());
        }
        if (certificate != null) {
          made.keyManager(certificate.toFile(), privateKey.toFile());
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      return made.build();
    }
  }
}
