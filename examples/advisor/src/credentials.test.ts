import assert from "node:assert/strict";
import { test } from "node:test";

import { CredentialsHelper } from "./credentials.js";

const WHOLE = { alphaVantageApiKey: "a-key", alpacaApiKey: "b-key", alpacaApiSecret: "hunter2" };

function helperOf(...answers: (object | string | Error)[]) {
  const seen = { calls: 0, now: 0 };
  const answer = async () => {
    const given = answers[Math.min(seen.calls, answers.length - 1)];
    seen.calls += 1;
    if (given instanceof Error) throw given;
    if (typeof given === "string") return new Response(given, { status: 400 });
    return new Response(JSON.stringify({ SecretString: JSON.stringify(given) }));
  };
  const settings = { secretId: "x", url: "http://agent", token: () => "t", fetch: answer as typeof fetch, now: () => seen.now };
  return { helper: new CredentialsHelper(settings), seen };
}

test("all three fields", async () => {
  assert.deepEqual(await helperOf(WHOLE).helper.getApiCredentials(), WHOLE);
});

test("asked once in five minutes, and once for all who ask at a time", async () => {
  const { helper, seen } = helperOf(WHOLE);
  await Promise.all([helper.getApiCredentials(), helper.getApiCredentials()]);
  seen.now = 299_999;
  await helper.getApiCredentials();
  assert.equal(seen.calls, 1);
  seen.now = 300_000;
  await helper.getApiCredentials();
  assert.equal(seen.calls, 2);
});

test("a field that is missing or empty", async () => {
  for (const field of Object.keys(WHOLE)) {
    for (const given of [{ ...WHOLE, [field]: "" }, { ...WHOLE, [field]: undefined }, { ...WHOLE, [field]: 5 }]) {
      await assert.rejects(helperOf(given).helper.getApiCredentials(), { message: "Missing required API credentials" });
    }
  }
});

test("errors hold no value, and are not kept", async () => {
  const denied = JSON.stringify({ __type: "AccessDeniedException", message: "hunter2" });
  const { helper, seen } = helperOf(denied, new Error("hunter2"), "hunter2", WHOLE);
  for (const expected of ["AccessDeniedException", "no agent answers at http://agent", "status 400"]) {
    await assert.rejects(helper.getApiCredentials(), { message: `Failed to retrieve API credentials: ${expected}` });
  }
  assert.deepEqual(await helper.getApiCredentials(), WHOLE);
  assert.equal(seen.calls, 4);
});

test("a token that is another one now is read again, and one that is not is shown once", async () => {
  const shown: unknown[] = [];
  const agent = (accepted: string) =>
    (async (_url: unknown, asked?: RequestInit) => {
      const token = (asked?.headers as Record<string, string>)["X-Aws-Parameters-Secrets-Token"];
      shown.push(token);
      if (token !== accepted) return new Response("Bad Token", { status: 403 });
      return new Response(JSON.stringify({ SecretString: JSON.stringify(WHOLE) }));
    }) as typeof fetch;
  const helper = (accepted: string, ...tokens: string[]) =>
    new CredentialsHelper({
      secretId: "x",
      url: "http://agent",
      token: () => tokens.shift() ?? "last",
      fetch: agent(accepted),
      now: () => 0,
    });
  assert.deepEqual(await helper("new", "old", "new").getApiCredentials(), WHOLE);
  assert.deepEqual(shown.splice(0), ["old", "new"]);
  await assert.rejects(helper("new", "old", "old").getApiCredentials(), {
    message: "Failed to retrieve API credentials: status 403",
  });
  assert.deepEqual(shown, ["old"]);
});
