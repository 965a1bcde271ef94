// The HTTP interface as the page uses it. Whatever goes wrong is a Problem with one sentence to show.

/** @import { ArtifactList, Bundles, JobList, JobView, StudyResult } from "./types.js" */

/** What a request came to, when it came to nothing: `code` is that of the problem document. */
export class Problem extends Error {
  /**
   * @param {number} status 0 where the service was not reached
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** @returns {Problem} */
export function unreachable() {
  return new Problem(0, "UNREACHABLE", "The service cannot be reached. Nothing is lost; the page goes on when it can.");
}

/**
 * Read a problem document (RFC 9457); of an answer that is none, for one a proxy's, only the status is told.
 * @param {number} status
 * @param {string} body
 * @returns {Problem}
 */
export function problemOf(status, body) {
  try {
    const told = JSON.parse(body);
    if (typeof told.detail === "string" && typeof told.code === "string") {
      return new Problem(status, told.study_code ?? told.code, told.detail);
    }
  } catch {
    // no problem document: see below
  }
  return new Problem(status, "UNEXPECTED", `The service, or something before it, answered with status ${status}.`);
}

export class Api {
  /** @param {string | null} key */
  constructor(key) {
    this.key = key;
  }

  /** @returns {Record<string, string>} */
  get headers() {
    return this.key === null ? {} : { Authorization: `Bearer ${this.key}` };
  }

  /**
   * Ask, and return an answer of 2xx. Raises Problem.
   * @param {string} path
   * @param {RequestInit} [options]
   */
  async ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...this.headers, ...options.headers } });
    } catch (fault) {
      if (fault instanceof DOMException && fault.name === "AbortError") throw fault;
      throw unreachable();
    }
    if (!answer.ok) throw problemOf(answer.status, await answer.text());
    return answer;
  }

  /**
   * @param {string} path
   * @param {RequestInit} [options]
   */
  async json(path, options) {
    return (await this.ask(path, options)).json();
  }

  /** @returns {Promise<Bundles>} */
  bundles() {
    return this.json("/v1/bundles");
  }

  /**
   * @param {string | null} cursor
   * @returns {Promise<JobList>}
   */
  jobs(cursor = null) {
    return this.json(`/v1/jobs?limit=50${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<JobView>}
   */
  job(id) {
    return this.json(`/v1/jobs/${encodeURIComponent(id)}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<JobView>}
   */
  cancel(id) {
    return this.json(`/v1/jobs/${encodeURIComponent(id)}/cancel`, { method: "POST" });
  }

  /** @param {string} id */
  remove(id) {
    return this.ask(`/v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /**
   * @param {JobView} job
   * @returns {Promise<StudyResult>}
   */
  result(job) {
    return this.json(job.links.result);
  }

  /**
   * @param {JobView} job
   * @returns {Promise<ArtifactList>}
   */
  artifacts(job) {
    return this.json(job.links.artifacts);
  }

  /**
   * Return a file of a result.
   * @param {JobView} job
   * @param {string} name
   * @param {AbortSignal} [signal]
   */
  file(job, name, signal) {
    return this.ask(`${job.links.artifacts}/${encodeURIComponent(name)}`, { signal });
  }
}
