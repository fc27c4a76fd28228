import { BOTH, type Check, type Section } from '../check.ts';
import { reviewCheck } from '../feature.ts';
import { checkNoOfferWithoutBit } from './a7-remote-config.ts';

const checks: readonly Check[] = [
  reviewCheck(169, 'SHOULD', 'The CA that signs code is not on the OpAMP server', 'Code Signing'),
  reviewCheck(170, 'SHOULD', 'The key that signs client certificates is not on the server they are for', 'TLSCertificate'),
  reviewCheck(171, 'SHOULD', 'Packages are signed, and signatures are passed on unchanged', 'Code Signing'),
  {
    id: 172,
    level: 'SHOULD',
    title: 'Remote config is the agent’s choice, and the server takes no for an answer',
    clause: 'Opt-in Remote Configuration',
    transports: BOTH,
    needs: ['api'],
    run: checkNoOfferWithoutBit,
  },
  reviewCheck(173, 'derived', 'Secrets in offers appear in no log and no API', 'General Recommendations'),
];

export const a16Security: Section = { key: 'A16', title: 'Security', file: 'a16-security.ts', checks };
