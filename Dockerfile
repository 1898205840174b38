# The image of rnnlm-server: `docker build --tag rnnlm-server .`
# It uses plain instructions only, so the classic builder of Docker Engine 20.10 can build it too.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# The code of the one profile without its line tables, which are four fifths of the file. Symbols stay, for backtraces.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
# Two builds give the same bytes. What the parts of a crate share is otherwise named after a hash of one part, and LLVM 22 orders some of that by
# addresses (https://github.com/llvm/llvm-project/pull/188821); now it is named after the file.
ENV RUSTFLAGS="-C llvm-args=-use-source-filename-for-promoted-locals"
# Everything that is optional.
ENV FEATURES=otel,redis-tls

# The dependencies are a layer of their own, built for an empty program: it is rebuilt when Cargo.lock
# changes, not with every line of source. The benches are copied because cargo requires every declared target to exist.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --features $FEATURES --bin rnnlm-server

# Copied files keep their modification times, and cargo would treat files older than its last build as already built.
COPY src src
COPY web web
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --features $FEATURES --bin rnnlm-server

# Files checked out under a strict umask must still be readable by the user below.
COPY models /models
RUN chmod -R a+rX /models


# Debian rather than distroless: the build image is based on it, so the program finds the C library that it was
# linked against, and there is a shell for debugging.
FROM debian:bookworm-slim

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rnnlm-server" \
      org.opencontainers.image.description="An HTTP inference server for recurrent neural language models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

COPY LICENSE /usr/share/doc/rnnlm-server/
# Who may sign the certificate of a `rediss://` server; SSL_CERT_FILE names another file.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /models /models
COPY --from=build /build/target/release/rnnlm-server /usr/local/bin/

ENV RNNLM_MODELS=/models \
    RNNLM_LISTEN=0.0.0.0:8080

# A numeric user, so that an orchestrator can verify that it is not root. Nothing is written to disk, so the root
# file system may be read-only.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/rnnlm-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/rnnlm-server"]
