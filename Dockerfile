# The tiebeam program in an image of its own: the binary, the C library that it links, and nothing else.
#
#   docker build -t tiebeam .
#   docker run --rm -e TIEBEAM_NODE=rust@rust.cluster -v "$PWD/cookie:/run/secrets/cookie:ro" tiebeam
#
# Any Debian with a cargo of 1.85 or later can be the base, from any mirror: --build-arg BASE=my.registry/debian:trixie-slim
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
# Mirrors may serve an index for longer than it says it is valid.
RUN apt-get -o Acquire::Check-Valid-Until=false update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates cargo gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY docker/ca-certificates/ /usr/local/share/ca-certificates/
RUN update-ca-certificates
WORKDIR /src
# The dependencies in a layer of their own, which only a change of theirs makes again.
COPY Cargo.toml Cargo.lock ./
COPY interop-tests/Cargo.toml interop-tests/
COPY benches benches
COPY examples examples
RUN mkdir -p src interop-tests/src \
 && echo 'fn main() {}' >src/main.rs \
 && touch src/lib.rs interop-tests/src/lib.rs \
 && cargo build --quiet --release --locked --bin tiebeam
COPY src src
RUN touch src/lib.rs src/main.rs && cargo build --quiet --release --locked --bin tiebeam
# The program, the libraries that it asks for, and where names are looked up.
RUN mkdir -p /image/etc \
 && cp target/release/tiebeam /image/ \
 && ldd /image/tiebeam | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /image/ \
 && echo 'hosts: files dns' >/image/etc/nsswitch.conf

FROM scratch
COPY --from=build /image/ /
USER 1000:1000
# Read by `node` and by the health check's `ping`; the name's host is where other containers find this one.
ENV TIEBEAM_NODE=rust@127.0.0.1 TIEBEAM_COOKIE_FILE=/run/secrets/cookie
EXPOSE 4369
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD ["/tiebeam", "ping"]
ENTRYPOINT ["/tiebeam"]
# An address may change when a network is left and joined again, so none of them is chosen.
CMD ["node", "--listen", "0.0.0.0", "--demo"]
