/** Room for every effect of ten thousand jobs. */
export const queueTestLimits = { event: { topicEventsMax: 100_000, topicBytesKeptMax: 1 << 28 } }
