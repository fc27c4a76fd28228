/** What `npm run loadtest -- --help` prints. */
import { SCENARIOS } from '../scenarios/registry.ts';
import { AGENTS_PER_ADDRESS, AGENTS_PER_WORKER, DEFAULT_AGENTS, MILLION, SHORTEST_DEADLINE_MS } from './defaults.ts';
import { MOST_AGENTS_PER_WORKER } from './fleet.ts';

export const USAGE = `usage: npm run loadtest -- --local [options]
       npm run loadtest -- --url URL [--url URL]... --api URL [options]
       npm run loadtest -- --local --scenario ${MILLION} [--agents 1000000] [--step 200000]
       npm run loadtest -- --local --scenario peer [--agents 5000,10000,18000]
       npm run loadtest -- --compare A.json B.json

target
  --local                 start Redis, gateways and coordinators here, and stop them at the end
  --gateways N            gateways to start, in the scenario ${MILLION} for each step (default 2, or as many as the agents need, and one to spare)
  --coordinators N        coordinators to start (default 1)
  --set OPAMP_NAME=VALUE  setting of the local gateways and coordinators; repeatable
  --url URL               agent URL of a deployment: ws, wss, http or https; repeatable
  --api URL               its coordinator (default: OPAMP_API_URL)
  --api-token-file FILE   token for the API (default: OPAMP_API_TOKEN)
  --agent-token-file FILE token that every agent presents
  --ca, --cert, --key FILE  PEM files for wss and https; without --ca any certificate is taken

load
  --agents N              simulated agents (default ${DEFAULT_AGENTS})
  --workers N             processes that hold them (default 1 for each ${AGENTS_PER_WORKER}; at most ${MOST_AGENTS_PER_WORKER} agents each)
  --step N                agents that each step of the scenario ${MILLION} adds, in gateways and workers of their own (default 200000)
  --scenario NAME[,NAME]  ${SCENARIOS.map(({ name }) => name).join(', ')}, all (but ${MILLION}), or peer (default ramp,rollout)
  --config-kb LIST        config sizes for rollouts (default 1,4,16,64)
  --hold SECONDS          idle time of the ramp (default 30)
  --soak DURATION         pause after every wave but the last (default 1s)
  --soak-minutes N        length of the scenario soak (default 10)
  --waves LIST            waves of rollouts, each all agents so far as a number or a percentage, the last 100%
                          (default: 20 canaries, or a tenth of fewer than 200 agents, then 100%)
  --apply-ms N            simulated time of applying a config (default 300)
  --heartbeat SECONDS     interval of heartbeats (default 30; in the scenario ${MILLION} 60)
  --http-fraction F       share of agents that poll over HTTP (default 0)
  --slow-fraction F       share of agents that take 2 to 12 times as long to apply, each another time (default 0)
  --failed-fraction F     share of agents that report FAILED for every config, at most 0.4 (default 0)
  --flapping-fraction F   share of agents that lose their connection every 20 s, at most 0.4 (default 0)
  --reconnect HOW         opamp-go (at once, then 0.5 s to 1 min), or polite (within 10 s, then 1 s to 5 min) (default opamp-go)
  --connects-in-flight N  connects under way at a time (default 100)
  --agents-per-address N  spread agents over 127.1.x.y, so many on each (local only; default 0 up to ${AGENTS_PER_ADDRESS} agents)
  --reconnect-scale F     factor on the agents' reconnect delays (default 1)
  --stuck-fraction F      agents that stop reading in the scenario stuck (default 0.05)
  --refuse-fraction F     agents that refuse the version of the scenario refuse (default 0.05)
  --max-memory PERCENT    memory of this machine in use above which the run stops itself (default 85)
  --lean                  smaller messages, for very large fleets (default above ${AGENTS_PER_ADDRESS} agents)
  --seed N                fixes uids and delays (default 1)
  --deadline SECONDS      longest wait for anything (default ${SHORTEST_DEADLINE_MS / 1_000}, more above 100,000 agents)

report
  --out DIR               results.json, report.md and report.html go here (default loadtest-results)
  --compare A B           compare two results.json
`;
