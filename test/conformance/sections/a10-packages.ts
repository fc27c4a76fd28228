import type { CheckContext } from '../context.ts';
import { BOTH, type Check, type Section } from '../check.ts';
import { featureCheck, PACKAGES } from '../feature.ts';
import { beats, foreignHash } from '../scenario.ts';
import { AGENT } from '../wire.ts';

const packages = (...parameters: readonly [number, Check['level'], string, string]): Check => featureCheck(PACKAGES, ...parameters);

const checks: readonly Check[] = [
  {
    id: 113,
    level: 'MUST',
    title: 'Packages come only with AcceptsPackages',
    clause: 'Packages',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({
        capabilities: AGENT.reportsStatus | AGENT.reportsPackageStatuses,
      });
      await agent.first({ packageStatuses: { serverProvidedAllPackagesHash: foreignHash() } });
      await beats(agent, 2);
      context.expect(
        agent.received.every((reply) => reply.packagesAvailable === undefined),
        'packages_available came without AcceptsPackages',
      );
    },
  },
  packages(114, 'SHOULD', 'A reported hash of all packages that differs brings the packages', 'PackageStatuses'),
  packages(115, 'MUST', 'all_packages_hash is always set', 'PackagesAvailable'),
  packages(116, 'MUST', 'Package hashes change with anything that matters', 'Calculating Hashes'),
  packages(117, 'SHOULD', 'The package hash covers all other fields and the content', 'PackageAvailable.hash'),
  packages(118, 'spec', 'content_hash is the SHA-256 of the file', 'DownloadableFile'),
  packages(119, 'SHOULD', 'Downloads can be continued by range requests', 'DownloadableFile'),
  packages(120, 'derived', 'all_packages_hash is equal on all nodes', 'All Packages Hash'),
  packages(121, 'derived', 'An installation that failed is shown, not repeated for ever', 'PackageStatuses (Go client)'),
];

export const a10Packages: Section = { key: 'A10', title: 'Packages', file: 'a10-packages.ts', checks };
