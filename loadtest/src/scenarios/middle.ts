/** When something happens in the middle of a rollout: this share of the fleet has applied. */
export const MIDDLE_SHARE = 0.2;
/** Size of the config in scenarios that are not about sizes. */
export const MIDDLE_CONFIG_BYTES = 4_096;
