/**
 * Makes of a reading a "look": calls while one runs cause one more after it, so that what changed in between is seen.
 * @param read must not reject
 */
export function createLook(read: () => Promise<void>): () => Promise<void> {
  let reading: Promise<void> | undefined;
  let isWanted = false;
  const look = (): Promise<void> => {
    if (reading !== undefined) {
      isWanted = true;
      return reading;
    }
    reading = read().finally(() => {
      reading = undefined;
      if (isWanted) {
        isWanted = false;
        void look();
      }
    });
    return reading;
  };
  return look;
}
