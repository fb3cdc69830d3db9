# syntax=docker/dockerfile:1
# Two images. The last stage, `slim`, is the default: a static binary and root certificates, nothing else: no shell, no
# interpreter. Songs that exist only as Opus keep that form there (KMDS_AUDIO__OPUS), since there is no ffmpeg to
# convert them. `full` (docker build --target full .) has ffmpeg, yt-dlp and a JavaScript runtime as well.
#
# Both take their root folder from the stage `root`, which builds it from this source. A release gives the folders that
# it has built already in its place: --build-context root=FOLDER, one folder below it for each processor.
FROM rust:1.95-bookworm AS root-build
ARG TARGETARCH
ARG TARGETVARIANT
# `cluster` for several hosts (docs/operation.md).
ARG KMDS_FEATURES=
WORKDIR /src
COPY . .
# One static file. The target is named although it is this machine's own, so that the flag is not meant for build
# scripts and macros, which cannot be static.
RUN target=$(rustc --print host-tuple) \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" --bin kmds --features "$KMDS_FEATURES" \
    && packaging/root.sh "target/$target/release/kmds" "/out/$TARGETARCH$TARGETVARIANT"

FROM scratch AS root
COPY --from=root-build /out/ /

FROM debian:bookworm-slim AS full
ARG TARGETARCH
ARG TARGETVARIANT
# yt-dlp's own wheels bring the solver of YouTube's script. deno runs it; where deno has no wheel (32-bit ARM), yt-dlp
# does without.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates ffmpeg python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/yt-dlp \
    && /opt/yt-dlp/bin/pip install --no-cache-dir 'yt-dlp[default]>=2026.10.26' \
    && { /opt/yt-dlp/bin/pip install --no-cache-dir --only-binary :all: 'deno>=2.3' || true; }
COPY --from=root /$TARGETARCH$TARGETVARIANT/kmds /kmds
COPY --from=root --chown=65532:65532 /$TARGETARCH$TARGETVARIANT/var/cache/kmds/ /var/cache/kmds/
COPY --from=root --chown=65532:65532 /$TARGETARCH$TARGETVARIANT/var/lib/kmds/ /var/lib/kmds/
USER 65532:65532
ENV KMDS_SERVER__LISTEN=0.0.0.0:60071 \
    KMDS_CACHE__DIR=/var/cache/kmds \
    KMDS_STATE__DIR=/var/lib/kmds \
    KMDS_ENGINES__YTDLP__COMMAND=/opt/yt-dlp/bin/yt-dlp \
    HOME=/tmp \
    MALLOC_TRIM_THRESHOLD_=131072
EXPOSE 60071
VOLUME ["/var/cache/kmds", "/var/lib/kmds"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/kmds", "status"]
ENTRYPOINT ["/kmds"]
CMD ["serve"]

FROM scratch AS slim
ARG TARGETARCH
ARG TARGETVARIANT
COPY --from=root /$TARGETARCH$TARGETVARIANT/kmds /kmds
COPY --from=root /$TARGETARCH$TARGETVARIANT/etc/ /etc/
COPY --from=root --chown=65532:65532 /$TARGETARCH$TARGETVARIANT/var/cache/kmds/ /var/cache/kmds/
COPY --from=root --chown=65532:65532 /$TARGETARCH$TARGETVARIANT/var/lib/kmds/ /var/lib/kmds/
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
