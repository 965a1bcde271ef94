// The jobs that the page knows, newest first, kept right by events.

import { Problem } from "../api.js";

/** @import { Api } from "../api.js" */
/** @import { JobEvent, JobView } from "../types.js" */

export class Jobs extends EventTarget {
  /** @param {Api} api */
  constructor(api) {
    super();
    this.api = api;
    /** @type {Map<string, JobView>} */
    this.known = new Map();
    /** @type {string | null} */
    this.cursor = null;
    /** @type {string | null} */
    this.chosen = null;
    this.loaded = false;
  }

  /** @returns {JobView[]} */
  get all() {
    return [...this.known.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
  }

  /** Read the newest page again; older ones that are shown stay. */
  async reload() {
    const page = await this.api.jobs();
    if (!this.loaded) this.cursor = page.cursor;
    this.loaded = true;
    for (const job of page.jobs) this.known.set(job.id, job);
    this.changed(null);
  }

  /** Read the next older page. */
  async more() {
    const page = await this.api.jobs(this.cursor);
    this.cursor = page.cursor;
    for (const job of page.jobs) this.known.set(job.id, job);
    this.changed(null);
  }

  /**
   * Take in what has happened; where more is to be known than an event tells, ask.
   * @param {JobEvent} event
   */
  async hear(event) {
    const known = this.known.get(event.job_id);
    if (known === undefined || event.code !== null) {
      try {
        this.put(await this.api.job(event.job_id));
      } catch (fault) {
        // Of one that cannot be asked for now, the list is read again when the events come back.
        if (fault instanceof Problem && fault.status === 404) this.drop(event.job_id);
      }
      return;
    }
    const { state, stage, progress } = event;
    this.put({ ...known, state, stage, progress, updated_at: event.at });
  }

  /** @param {JobView} job */
  put(job) {
    this.known.set(job.id, job);
    this.changed(job.id);
  }

  /** @param {string} id */
  drop(id) {
    this.known.delete(id);
    this.changed(id);
  }

  /** @param {string | null} id */
  choose(id) {
    this.chosen = id;
    this.changed(null);
  }

  /** Tell who listens; of one job, or of several where `id` is null.
   * @param {string | null} id */
  changed(id) {
    this.dispatchEvent(new CustomEvent("change", { detail: id }));
  }
}
