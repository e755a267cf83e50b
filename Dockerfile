# syntax=docker/dockerfile:1
# The image of the Sluice server: binary, ONNX Runtime, health probe and their licences; no model. The folder that holds
# the models, or is one, is mounted at /models. It runs as a numeric user, needs no shell and writes nothing, so a
# read-only root works:
#
#   docker run --read-only -p 50051:50051 -v DIRECTORY:/models:ro sluice
#
# scripts/image.sh builds it, in one of two ways, each a target below:
#
#   image     (the last, so `docker build .`) compiles in the builder's image, which needs the network for Go modules
#             and base images. ONNX Runtime's wheel comes from bin/wheels/ if it is there, else from pip's index.
#   prebuilt  takes what scripts/payload.sh has laid out in bin/image/ on this machine, and needs no network at all
#             when BASE is local. It is for machines with no way to a registry; their C library must not be newer than
#             the base's.
#
# The targets come in an order that lets a builder without a dependency graph stop at the one it needs.

# The base needs glibc 2.34 or newer and libstdc++, and should hold little else: a distroless "cc" image is smaller. With
# the packages libc6, libstdc++6, libgcc-s1, ca-certificates and tzdata, a root file system of mmdebstrap is one too.
ARG BASE=debian:12-slim
ARG GO=golang:1.27.3-bookworm
ARG PYTHON=python:3.11-slim-bookworm

FROM ${BASE} AS runtime
ARG VERSION=unknown
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="gRPC inference server for language models on ONNX Runtime" \
      org.opencontainers.image.source="https://github.com/sluiceml/sluice" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Every flag of `sluice serve` is a variable SLUICE_… too.
ENV SLUICE_ONNXRUNTIME=/usr/lib/sluice/libonnxruntime.so \
    SLUICE_MODELS_DIR=/models
# A number, so that Kubernetes' runAsNonRoot can check it.
USER 65532:65532
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# NOT_SERVING until every model is loaded and warm. With --grpc-addr or TLS of another kind, override this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/usr/bin/grpc-health-probe", "-addr=127.0.0.1:50051"]
ENTRYPOINT ["/usr/bin/sluice"]
CMD ["serve"]

FROM runtime AS prebuilt
COPY bin/image/ /

FROM ${GO} AS compiled
WORKDIR /src
# Modules first: they change less often than the code.
COPY go.mod go.sum ./
COPY .tools/grpc/ .tools/grpc/
# Empty: Go's own default.
ARG GOPROXY=
ENV GOTOOLCHAIN=local CGO_ENABLED=1
RUN go mod download && cd .tools/grpc && go mod download
COPY . .
ARG VERSION=unknown
RUN scripts/payload.sh --no-runtime --version "${VERSION}" /payload

# ONNX Runtime, fetched and checked by `sluice setup`, which asks pip.
FROM ${PYTHON} AS onnxruntime
COPY --from=compiled /src/scripts/payload.sh /src/scripts/
COPY --from=compiled /payload/ /payload/
# LICENSE is there only because COPY wants a match: bin/wheels may be missing.
COPY LICENSE bin/wheel[s] /wheels/
RUN /src/scripts/payload.sh --only-runtime --wheels /wheels /payload

FROM runtime AS image
# For telemetry over TLS; a slim base has none.
COPY --from=onnxruntime /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=onnxruntime /payload/ /
