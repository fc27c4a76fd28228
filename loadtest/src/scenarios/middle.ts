/** When something happens in the middle of a rollout: this share of the fleet has applied. */
export const MIDDLE_SHARE = 0.2;
/** Size of the config in scenarios that are not about sizes. */
export const MIDDLE_CONFIG_BYTES = 4_096;
/** How long the last wave of such a rollout is stretched. */
export const MIDDLE_PACE_MS = 10_000;
