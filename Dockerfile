# parselog in a container: docker build -t parselog . ; compose.yaml runs it with all that it needs.
FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of the image, which is that of rust-toolchain.toml.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . .
RUN cargo build --locked --release

FROM debian:bookworm-slim
# For TLS to Postgres, S3 and the mail server.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates=2023* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/parselog parselog
COPY --from=build /build/target/release/parselog /usr/local/bin/parselog
# By its number, so that a cluster can tell that it is not root.
USER 10001
# The spool is in here: logs that are not archived yet. It has to outlive the container.
VOLUME /var/lib/parselog
ENV PARSELOG_HOME=/var/lib/parselog \
    PARSELOG_GLOBAL_FORMAT=json
EXPOSE 8005
ENTRYPOINT ["parselog"]
CMD ["worker"]
