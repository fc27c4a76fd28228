#!/bin/sh
# Makes images for docker-compose.yml where none can be pulled: one Debian with Node 22, Redis, HAProxy and Prometheus,
# under the names that docker-compose.yml and the Dockerfile use, with the user and entry point of the real ones.
#
#   sudo sh test/compose/stand-ins.sh          needs debootstrap and a running Docker engine; a minute or two
#
# An image that is already there, real or not, is left alone. Undo: docker image rm with the names printed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
node="$root/node_modules/node-linux-$(node -p process.arch 2>/dev/null || echo x64)/bin/node"
[ -x "$node" ] || { echo "run npm run setup first: there is no $node" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOCKER_BUILDKIT=0

exists() { docker image inspect "$1" > /dev/null 2>&1; }
missing=
for name in node:22-bookworm-slim redis:7.2-alpine haproxy:3.0-alpine prom/prometheus:v3.5.0; do
  exists "$name" || missing="$missing $name"
done
[ -n "$missing" ] || { echo "all images are there"; exit 0; }

if ! exists opamp-stand-in:base; then
  debootstrap --variant=minbase --include=ca-certificates,wget,redis-server,haproxy,prometheus bookworm "$work/debian" > "$work/debootstrap.log" ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work/debian/var/cache/apt/archives" "$work/debian/var/lib/apt/lists"
  tar -C "$work/debian" --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* -c . | docker import - opamp-stand-in:base > /dev/null
fi

mkdir "$work/context"
cp "$node" "$work/context/node"
cp -RL "$(dirname "$(readlink -f "$(command -v npm)")")/.." "$work/context/npm"
# npm in the image trusts what this machine trusts.
cp -L "${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" "$work/context/ca.pem"

build() { # NAME, Dockerfile on standard input
  cat > "$work/context/Dockerfile"
  docker build -q -t "$1" "$work/context" > "$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
  echo "made $1"
}

for name in $missing; do
  case $name in
    node:*) build "$name" <<'END'
FROM opamp-stand-in:base
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
COPY ca.pem /usr/local/share/ca.pem
ENV NODE_EXTRA_CA_CERTS=/usr/local/share/ca.pem
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && groupadd --gid 1000 node && useradd --uid 1000 --gid node --create-home node
CMD ["node"]
END
    ;;
    redis:*) build "$name" <<'END'
FROM opamp-stand-in:base
RUN mkdir -p /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
USER redis
CMD ["redis-server"]
END
    ;;
    haproxy:*) build "$name" <<'END'
FROM opamp-stand-in:base
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
END
    ;;
    prom/*) build "$name" <<'END'
FROM opamp-stand-in:base
RUN mkdir -p /prometheus && chown nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
    ;;
  esac
done
