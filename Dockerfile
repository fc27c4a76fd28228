# One image for all three programs; the command chooses: gateway (default), coordinator, opampctl.
#
#   docker build -t opamp-gateway .
#   docker run --init --read-only -e OPAMP_REDIS_URL=redis://… -p 4320:4320 opamp-gateway
#   docker run --init --read-only -e OPAMP_REDIS_URL=redis://… opamp-gateway coordinator
#
# The processes write nothing to disk, so the root file system may be read-only, and run as an ordinary user. They handle
# SIGTERM themselves; --init (compose: `init: true`) adds a process 1 that collects orphans.
ARG NODE_IMAGE=node:22-bookworm-slim

# What npm needs to see of every workspace before any source is copied: this layer changes only with the lock file.
FROM ${NODE_IMAGE} AS manifests
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY proto/package.json proto/
COPY packages/shared/package.json packages/shared/
COPY packages/gateway/package.json packages/gateway/
COPY packages/coordinator/package.json packages/coordinator/
COPY packages/cli/package.json packages/cli/
COPY packages/dashboard/package.json packages/dashboard/
COPY loadtest/package.json loadtest/
COPY test/package.json test/

FROM manifests AS build
RUN npm ci --ignore-scripts --include=dev --include=optional --no-audit --no-fund
COPY tsconfig.base.json tsconfig.json ./
COPY scripts scripts
COPY proto proto
COPY packages packages
COPY loadtest loadtest
RUN node scripts/build.mjs && rm -rf packages/*/src packages/*/node_modules packages/dashboard/app

FROM manifests AS dependencies
RUN npm ci --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund \
      --workspace packages/gateway --workspace packages/coordinator --workspace packages/cli \
 # uWebSockets.js comes with a binary per platform and Node version: keep the one that this image loads.
 && node -e 'const { readdirSync, rmSync } = require("node:fs"); \
             const folder = "node_modules/uWebSockets.js/dist/bin"; \
             const keep = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`; \
             const names = readdirSync(folder); \
             if (!names.includes(keep)) throw new Error(`uWebSockets.js has no ${keep}`); \
             for (const name of names) if (name !== keep) rmSync(`${folder}/${name}`);'

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app ./
COPY --from=build /app/proto proto
COPY --from=build /app/packages packages
COPY LICENSE ./
RUN for program in gateway:gateway coordinator:coordinator opampctl:cli; do \
      options=--enable-source-maps; \
      # As in scripts/commands.mjs.
      if [ "$program" = gateway:gateway ]; then options="$options --max-semi-space-size=16 --heap-growing-percent=40"; fi; \
      printf '#!/bin/sh\nexec node %s /app/packages/%s/dist/main.js "$@"\n' "$options" "${program#*:}" > "/usr/local/bin/${program%:*}"; \
      chmod 755 "/usr/local/bin/${program%:*}"; \
    done \
 # A volume mounted here for API tokens starts out as a folder of the user below.
 && install -d -o node -g node -m 700 /var/lib/opamp
USER node
EXPOSE 4320 4330 9320 9330
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["gateway"]
