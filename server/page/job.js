// A job of the server's: started, followed to its end, cancelled.

import { ConnectionError, request, requestJson, requestJsonAndWords } from './api.js';
import { wait } from './dom.js';
import { readEvents } from './events.js';

const LAST = new Set(['job.completed', 'job.failed', 'job.cancelled']);
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5000;

export class Job {
  #end = null;
  #reading = new AbortController();
  #stopped = new Promise((resolve) => this.#reading.signal.addEventListener('abort', resolve));

  /** `unknownWords` are those of its captions that the model was trained on none with, as text; null where there are none. */
  constructor(id, unknownWords = null) {
    this.id = id;
    this.unknownWords = unknownWords;
    this.path = `/v1/jobs/${encodeURIComponent(id)}`;
  }

  static async start(form) {
    const { json, unknownWords } = await requestJsonAndWords('/v1/jobs', { method: 'POST', body: form });
    return new Job(json.id, unknownWords);
  }

  /**
   * Tells `onEvent` every event but the last, which is returned. A stream that breaks off is taken up again, and tells its
   * images once more; `onConnection` hears false when the server is lost, and true when it is back.
   */
  async follow(onEvent, onConnection) {
    let failures = 0;
    while (!this.#end) {
      try {
        const response = await request(`${this.path}/events`, { signal: this.#reading.signal });
        if (failures > 0) onConnection(true);
        for await (const event of readEvents(response.body)) {
          failures = 0;
          if (this.#end) break;
          if (LAST.has(event.type)) this.#end = event;
          else onEvent(event);
        }
        this.#end ??= endOf(await requestJson(this.path, { signal: this.#reading.signal }));
      } catch (error) {
        if (this.#end) break;
        onConnection(!(error instanceof ConnectionError));
        if (!(error instanceof ConnectionError)) throw error;
      }
      if (this.#end) break;
      await Promise.race([wait(Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE)), this.#stopped]);
      failures += 1;
    }
    return this.#end;
  }

  /** Ends the job, also where the server cannot be told any more. */
  async cancel() {
    const cancelled = { type: 'job.cancelled', id: this.id };
    try {
      this.#end = endOf(await requestJson(this.path, { method: 'DELETE' })) ?? cancelled;
    } catch (error) {
      this.#end = cancelled;
      throw error;
    } finally {
      this.#reading.abort();
    }
  }
}

/** The last event of a job that has ended; null where it has not. */
function endOf({ id, status, result, error }) {
  const type = `job.${status}`;
  return LAST.has(type) ? { type, id, result, error } : null;
}
