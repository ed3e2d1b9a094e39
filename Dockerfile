# The image of image-refresh: one static binary and the CA certificates, for every platform from one builder.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg COMMIT="$(git rev-parse HEAD)" .
#
# The same commit gives the same layers: nothing in them depends on the time or the place of the build.

# Debian's Go image of this release, as an index of platforms.
ARG BUILDER=docker.io/library/golang:1.26.8-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d

# The builder runs on the machine's own platform, and compiles for the wanted one.
FROM --platform=$BUILDPLATFORM ${BUILDER} AS builder
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY docs/docs.go docs/runbook.md docs/
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
ARG COMMIT
# Go's own toolchain is the builder's: what go.mod asks for must not fetch another. Without a build id and without
# paths, the binary depends on its sources alone.
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
	go build -trimpath \
	-ldflags "-s -w -buildid= -X github.com/tracebloc/image-refresh/internal/version.version=${VERSION} -X github.com/tracebloc/image-refresh/internal/version.commit=${COMMIT}" \
	-o /out/image-refresh ./cmd/image-refresh && \
	mkdir -p /out/etc/ssl/certs && \
	cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ && \
	find /out -exec touch --no-dereference --date=@0 {} +

FROM scratch
ARG VERSION
ARG COMMIT
LABEL org.opencontainers.image.title="image-refresh" \
	org.opencontainers.image.description="Keeps workloads on the newest digest of their floating image tags" \
	org.opencontainers.image.source="https://github.com/tracebloc/image-refresh" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${COMMIT}"
COPY --from=builder /out/ /
# A number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
ENTRYPOINT ["/image-refresh"]
