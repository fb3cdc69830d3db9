# syntax=docker/dockerfile:1
# A static binary and root certificates, nothing else: no shell, no interpreter. Songs that exist only as Opus keep that
# form here (KMDS_AUDIO__OPUS), since there is no ffmpeg to convert them.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# One static file. The target is named although it is this machine's own, so that the flag is not meant for build scripts and
# macros, which cannot be static.
RUN target=$(rustc --print host-tuple) \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" --bin kmds \
    && mkdir -p /out/etc/ssl/certs /out/var/cache/kmds /out/var/lib/kmds \
    && cp "target/$target/release/kmds" /out/kmds \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && chown -R 65532:65532 /out/var

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
ENV KMDS_SERVER__LISTEN=0.0.0.0:60071 \
    KMDS_CACHE__DIR=/var/cache/kmds \
    KMDS_STATE__DIR=/var/lib/kmds \
    KMDS_AUDIO__OPUS=keep \
    MALLOC_TRIM_THRESHOLD_=131072 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 60071
VOLUME ["/var/cache/kmds", "/var/lib/kmds"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/kmds", "status"]
ENTRYPOINT ["/kmds"]
CMD ["serve"]
