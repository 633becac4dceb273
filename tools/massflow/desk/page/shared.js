// shared.js - what the parts share: the session and the nodes, asked for once and again when they
// change, and where one part sends the reader to another.
import {events, get} from "./api.js";

class Desk extends EventTarget {
  session = {stages: [], settings: {}, graphs: []};
  nodes = [];   // of /api/nodes: {name, stage, state, outputs: [{name, type, id}]}
  #asking = false;
  #again = false;
  #took = 0;    // milliseconds of the last plan
  #later = null;

  // "session" and "nodes" are told when they are there; "trouble" with a text when the desk is gone.
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  }

  async readSession() {
    this.session = {stages: [], ...await get("/api/session")};
    this.tell("session");
  }

  // Planning takes time where there are many nodes: never twice at once.
  async readNodes() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    clearTimeout(this.#later);
    this.#later = null;
    const slow = setTimeout(() => this.tell("planning", true), 700);
    try {
      do {
        this.#again = false;
        const began = performance.now();
        this.nodes = this.session.trouble ? [] : await get("/api/nodes");
        this.#took = performance.now() - began;
        this.nodesError = null;
        this.tell("nodes");
      } while (this.#again);
    } catch (error) {
      this.nodesError = error.message;
      this.tell("nodes");
    } finally {
      clearTimeout(slow);
      this.tell("planning", false);
      this.#asking = false;
    }
  }

  // Somebody writes to the cache: a fifth of the time is enough for looking.
  readNodesSoon() {
    this.#later ??= setTimeout(() => this.readNodes(), Math.max(800, 4 * this.#took));
  }

  async read() {
    try {
      await this.readSession();
      await this.readNodes();
      this.tell("trouble", "");
    } catch (error) {
      this.tell("trouble", error.message);
    }
  }

  // The output of a type, of a node's name: {node, name, type, id} of those that are in the cache.
  *results(...types) {
    for (const node of this.nodes)
      for (const output of node.outputs)
        if (output.id && types.includes(output.type)) yield {node: node.name, stage: node.stage, ...output};
  }
}

export const desk = new Desk();

events.addEventListener("anew", () => desk.read());
events.addEventListener("session", () => desk.read());
events.addEventListener("cache", () => desk.readNodesSoon());
events.addEventListener("lost", () => desk.tell("trouble", "the desk does not answer"));
events.addEventListener("found", () => desk.read());
