# The server and its built-in models: docker build -t unclip . && docker run -p 127.0.0.1:8188:8188 -e UNCLIP_API_KEY=... unclip
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-pip g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /unclip
COPY . .
RUN bin/setup && cargo build --release --locked --package unclip-cli --no-default-features --features embedded-model,server

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 unclip && install --directory --owner unclip /pictures
COPY --from=build /unclip/.libtorch/lib /usr/local/lib/unclip
COPY --from=build /unclip/target/release/unclip /usr/local/bin/unclip
ENV LD_LIBRARY_PATH=/usr/local/lib/unclip UNCLIP_HOST=0.0.0.0 UNCLIP_PORT=8188 UNCLIP_GALLERY=/pictures
USER unclip
EXPOSE 8188
STOPSIGNAL SIGTERM
HEALTHCHECK CMD curl --fail --silent http://127.0.0.1:8188/healthz
ENTRYPOINT ["/usr/local/bin/unclip", "serve"]
