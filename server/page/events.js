// Server-sent events, read from the body of a fetch because EventSource sends no key.

import { lost, parseJson } from './api.js';

/** The server sends a comment every 15 seconds, so a longer silence is a dead connection. */
const LONGEST_SILENCE = 50_000;

/** Cuts a stream of text into events, wherever its chunks were cut. */
class EventParser {
  #rest = '';
  #data = [];

  /** The data of each event that the text completes. An event that the stream breaks off is never told. */
  push(text) {
    this.#rest += text;
    const events = [];
    // A carriage return at the very end may be the first half of a CRLF, so it waits for what follows.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) events.push(this.#data.join('\n'));
        this.#data = [];
      } else if (line.startsWith('data:')) {
        this.#data.push(line.slice(5).replace(/^ /, ''));
      }
    }
    return events;
  }
}

/** The events of a response's body, as objects, until it ends or falls silent. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const silence = setTimeout(() => reader.cancel(), LONGEST_SILENCE);
      const { done, value } = await reader.read()
        .catch((error) => { throw lost(error); })
        .finally(() => clearTimeout(silence));
      if (done) return;
      for (const data of parser.push(value)) yield parseJson(data);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
