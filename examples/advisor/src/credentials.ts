// The advisor's three API credentials, from the agent on this machine, kept for five minutes.
//
// Needs Node alone. No error holds a value, nor what the agent answered.

import { readFileSync } from "node:fs";

export interface ApiCredentials {
  readonly alphaVantageApiKey: string;
  readonly alpacaApiKey: string;
  readonly alpacaApiSecret: string;
}

const FIELDS = ["alphaVantageApiKey", "alpacaApiKey", "alpacaApiSecret"] as const;
const KEPT_MILLISECONDS = 5 * 60 * 1000;

export interface Settings {
  readonly secretId: string;
  readonly url: string;
  /** The agent's token, which may be another one tomorrow. */
  readonly token: () => string;
  readonly fetch: typeof fetch;
  readonly now: () => number;
}

export function settingsOfEnvironment(environment = process.env): Settings {
  const tokenFile = environment["COFFER_AGENT_TOKEN_FILE"];
  if (!tokenFile) throw new Error("COFFER_AGENT_TOKEN_FILE is not set");
  return {
    secretId: environment["SECRET_NAME"] ?? "signal9-advisor/api-credentials",
    url: environment["COFFER_AGENT_URL"] ?? "http://127.0.0.1:2773",
    token: () => readFileSync(tokenFile, "utf8").trim(),
    fetch,
    now: Date.now,
  };
}

/** Gives the credentials; asks the agent at most once in five minutes, and once for all who ask at the same time. */
export class CredentialsHelper {
  readonly #settings: Settings;
  #kept: { credentials: Promise<ApiCredentials>; until: number } | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  getApiCredentials(): Promise<ApiCredentials> {
    const now = this.#settings.now();
    if (this.#kept && now < this.#kept.until) return this.#kept.credentials;
    const credentials = this.#read();
    const kept = { credentials, until: now + KEPT_MILLISECONDS };
    this.#kept = kept;
    // A failure is not kept: the next caller tries again.
    credentials.catch(() => {
      if (this.#kept === kept) this.#kept = undefined;
    });
    return credentials;
  }

  async #read(): Promise<ApiCredentials> {
    const token = this.#tokenNow();
    let response = await this.#ask(token);
    if (response.status === 403) {
      // An agent that was started anew may have another token.
      const another = this.#tokenNow();
      if (another !== token) response = await this.#ask(another);
    }
    const text = await response.text();
    if (!response.ok) throw new Error(`Failed to retrieve API credentials: ${faultOf(response.status, text)}`);
    const value: unknown = parsed(parsed(text, "SecretString"));
    const found = Object.fromEntries(
      FIELDS.map((field) => [field, (value as Record<string, unknown> | null)?.[field]]),
    );
    if (!FIELDS.every((field) => typeof found[field] === "string" && found[field] !== "")) {
      throw new Error("Missing required API credentials");
    }
    return found as unknown as ApiCredentials;
  }

  #tokenNow(): string {
    try {
      return this.#settings.token();
    } catch {
      throw new Error("Failed to retrieve API credentials: the agent's token can't be read");
    }
  }

  async #ask(token: string): Promise<Response> {
    const { secretId, url, fetch } = this.#settings;
    const query = new URLSearchParams({ secretId });
    try {
      return await fetch(`${url}/secretsmanager/get?${query}`, {
        headers: { "X-Aws-Parameters-Secrets-Token": token },
        signal: AbortSignal.timeout(10_000),
      });
    } catch {
      throw new Error(`Failed to retrieve API credentials: no agent answers at ${url}`);
    }
  }
}

/** What is wrong in AWS's words; nothing else of an answer. */
function faultOf(status: number, text: string): string {
  try {
    const type = (JSON.parse(text) as { __type?: unknown }).__type;
    if (typeof type === "string") return type;
  } catch {
    // It is no JSON: refusals of the agent itself are words.
  }
  return `status ${status}`;
}

function parsed(text: string, member?: string): any {
  try {
    const value = JSON.parse(text);
    if (member === undefined) return value;
    if (typeof value?.[member] === "string" && value[member] !== "") return value[member];
  } catch {
    // The parser's own words show the text.
  }
  throw new Error("Failed to retrieve API credentials: the value can't be read");
}
