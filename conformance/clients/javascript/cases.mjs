// Secrets Manager, IAM and STS through the SDK's clients, unmodified; conformance/README.md says what a line
// means. Endpoint, region and keys come from the environment alone.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import * as iam from "@aws-sdk/client-iam";
import * as sm from "@aws-sdk/client-secrets-manager";
import * as sts from "@aws-sdk/client-sts";

const client = new sm.SecretsManagerClient();
const send = (Command, input, through = client) => through.send(new Command(input));
const unique = () => `javascript/${randomUUID()}`;
const losing = () => new sm.SecretsManagerClient({ endpoint: process.env.COFFER_LOSING_URL });

/** The call must be refused as this class of the SDK's own, under this name and with these words. */
async function refused(call, Exception, name, words) {
  const error = await call.then(
    () => assert.fail(`answered; ${name} was expected`),
    (error) => error,
  );
  assert.equal(error.name, name);
  assert.ok(error instanceof Exception, `${error.constructor.name} is not ${Exception.name}`);
  assert.equal(error.$metadata.httpStatusCode, 400);
  assert.ok(error.$metadata.requestId, "no request id");
  if (words) assert.ok(error.message.includes(words), error.message);
}

const GET = "secretsmanager:GetSecretValue";
const DESCRIBE = "secretsmanager:DescribeSecret";
const policy = (...statements) => JSON.stringify({ Version: "2012-10-17", Statement: statements });
const access = new iam.IAMClient();
const manage = (Command, input) => access.send(new Command(input));

/** A user with these statements: its ARN and credentials. */
async function newUser(...statements) {
  const UserName = `javascript-${randomUUID()}`;
  const { User } = await manage(iam.CreateUserCommand, { UserName });
  if (statements.length > 0) {
    const PolicyDocument = policy(...statements);
    await manage(iam.PutUserPolicyCommand, { UserName, PolicyName: "own", PolicyDocument });
  }
  const { AccessKey } = await manage(iam.CreateAccessKeyCommand, { UserName });
  const credentials = { accessKeyId: AccessKey.AccessKeyId, secretAccessKey: AccessKey.SecretAccessKey };
  return { arn: User.Arn, credentials };
}

/** A session of a role that has this managed policy, taken on by a user whom the role trusts. */
async function sessionWith(document) {
  const user = await newUser();
  const RoleName = `role-${randomUUID()}`;
  const trust = { Effect: "Allow", Principal: { AWS: user.arn }, Action: "sts:AssumeRole" };
  const AssumeRolePolicyDocument = policy(trust);
  const { Role } = await manage(iam.CreateRoleCommand, { RoleName, AssumeRolePolicyDocument });
  const { Policy } = await manage(iam.CreatePolicyCommand, { PolicyName: RoleName, PolicyDocument: document });
  await manage(iam.AttachRolePolicyCommand, { RoleName, PolicyArn: Policy.Arn });
  const { Credentials } = await new sts.STSClient({ credentials: user.credentials }).send(
    new sts.AssumeRoleCommand({ RoleArn: Role.Arn, RoleSessionName: "agent" }),
  );
  const { AccessKeyId, SecretAccessKey, SessionToken } = Credentials;
  const credentials = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  return new sm.SecretsManagerClient({ credentials });
}

/** Denied for want of this action. */
async function denied(call, action) {
  const error = await call.then(
    () => assert.fail("answered; a denial was expected"),
    (error) => error,
  );
  assert.equal(error.name, "AccessDeniedException");
  assert.equal(error.$metadata.httpStatusCode, 400);
  const words = `because no identity-based policy allows the ${action} action`;
  assert.ok(error.message.endsWith(words), error.message);
}

async function listed(prefix) {
  const names = [];
  for await (const page of sm.paginateListSecrets({ client, pageSize: 2 }, {})) {
    assert.ok(page.SecretList.length <= 2);
    names.push(...page.SecretList.map((secret) => secret.Name).filter((name) => name.startsWith(prefix)));
  }
  return names;
}

const cases = {
  async "a secret's life"() {
    const [name, first, second] = [unique(), randomUUID(), randomUUID()];
    const made = await send(sm.CreateSecretCommand, {
      Name: name,
      Description: "of the database",
      SecretString: "one",
      ClientRequestToken: first,
      Tags: [{ Key: "stage", Value: "test" }],
    });
    assert.equal(made.Name, name);
    assert.equal(made.VersionId, first);
    let read = await send(sm.GetSecretValueCommand, { SecretId: name });
    assert.equal(read.SecretString, "one");
    assert.equal(read.SecretBinary, undefined);
    assert.deepEqual(read.VersionStages, ["AWSCURRENT"]);
    assert.ok(Math.abs(read.CreatedDate - Date.now()) < 60_000, String(read.CreatedDate));
    const put = await send(sm.PutSecretValueCommand, {
      SecretId: made.ARN,
      SecretString: "two",
      ClientRequestToken: second,
    });
    assert.deepEqual(put.VersionStages, ["AWSCURRENT"]);
    read = await send(sm.GetSecretValueCommand, { SecretId: name, VersionStage: "AWSPREVIOUS" });
    assert.equal(read.SecretString, "one");
    const described = await send(sm.DescribeSecretCommand, { SecretId: name });
    assert.equal(described.Description, "of the database");
    assert.deepEqual(described.VersionIdsToStages, { [first]: ["AWSPREVIOUS"], [second]: ["AWSCURRENT"] });
    assert.deepEqual(described.Tags, [{ Key: "stage", Value: "test" }]);
    assert.equal(described.DeletedDate, undefined);
  },

  async "versions and stages"() {
    const [name, first, second] = [unique(), randomUUID(), randomUUID()];
    await send(sm.CreateSecretCommand, { Name: name, SecretString: "one", ClientRequestToken: first });
    await send(sm.PutSecretValueCommand, {
      SecretId: name,
      SecretString: "two",
      ClientRequestToken: second,
      VersionStages: ["AWSPENDING"],
    });
    await send(sm.UpdateSecretVersionStageCommand, {
      SecretId: name,
      VersionStage: "AWSCURRENT",
      MoveToVersionId: second,
      RemoveFromVersionId: first,
    });
    const read = await send(sm.GetSecretValueCommand, { SecretId: name });
    assert.equal(read.VersionId, second);
    const seen = [];
    const pages = sm.paginateListSecretVersionIds({ client, pageSize: 1 }, { SecretId: name });
    for await (const page of pages) seen.push(...page.Versions.map((version) => version.VersionId));
    assert.deepEqual(seen.sort(), [first, second].sort());
  },

  async "deletion, restoring, deletion for good"() {
    const name = unique();
    await send(sm.CreateSecretCommand, { Name: name, SecretString: "one" });
    const deleted = await send(sm.DeleteSecretCommand, { SecretId: name, RecoveryWindowInDays: 7 });
    const days = (deleted.DeletionDate - Date.now()) / 86_400_000;
    assert.ok(days > 6.9 && days < 7.1, `in ${days} days`);
    const get = () => send(sm.GetSecretValueCommand, { SecretId: name });
    await refused(get(), sm.InvalidRequestException, "InvalidRequestException", "marked for deletion");
    await send(sm.RestoreSecretCommand, { SecretId: name });
    assert.equal((await get()).SecretString, "one");
    await send(sm.DeleteSecretCommand, { SecretId: name, ForceDeleteWithoutRecovery: true });
    await refused(get(), sm.ResourceNotFoundException, "ResourceNotFoundException");
  },

  async "lists by its paginator"() {
    const prefix = unique();
    const names = ["a", "b", "c", "d", "e"].map((end) => `${prefix}/${end}`);
    for (const name of names) await send(sm.CreateSecretCommand, { Name: name });
    assert.deepEqual((await listed(prefix)).sort(), names);
  },

  async "every byte in a binary value"() {
    const name = unique();
    const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await send(sm.CreateSecretCommand, { Name: name, SecretBinary: value });
    const read = await send(sm.GetSecretValueCommand, { SecretId: name });
    assert.deepEqual(new Uint8Array(read.SecretBinary), value);
    assert.equal(read.SecretString, undefined);
  },

  async "65,536 bytes and one more"() {
    const name = unique();
    const value = "x".repeat(65_536);
    await send(sm.CreateSecretCommand, { Name: name, SecretString: value });
    assert.equal((await send(sm.GetSecretValueCommand, { SecretId: name })).SecretString, value);
    // One class in the SDK for every code that the service model does not list.
    const put = send(sm.PutSecretValueCommand, { SecretId: name, SecretString: `${value}x` });
    await refused(put, sm.SecretsManagerServiceException, "ValidationException");
  },

  async "unicode in a value and a description"() {
    const name = unique();
    const text = "pässwörd 密码 🔑 \u0000 \u2028 \"\\\n";
    await send(sm.CreateSecretCommand, { Name: name, SecretString: text, Description: "ключ 🔑" });
    assert.equal((await send(sm.GetSecretValueCommand, { SecretId: name })).SecretString, text);
    assert.equal((await send(sm.DescribeSecretCommand, { SecretId: name })).Description, "ключ 🔑");
  },

  async "typed exceptions"() {
    const name = unique();
    const get = send(sm.GetSecretValueCommand, { SecretId: name });
    await refused(get, sm.ResourceNotFoundException, "ResourceNotFoundException");
    await send(sm.CreateSecretCommand, { Name: name, SecretString: "one" });
    const again = send(sm.CreateSecretCommand, { Name: name, SecretString: "two" });
    await refused(again, sm.ResourceExistsException, "ResourceExistsException");
    const soon = send(sm.DeleteSecretCommand, { SecretId: name, RecoveryWindowInDays: 6 });
    await refused(soon, sm.InvalidParameterException, "InvalidParameterException");
    await send(sm.DeleteSecretCommand, { SecretId: name });
    const put = send(sm.PutSecretValueCommand, { SecretId: name, SecretString: "two" });
    await refused(put, sm.InvalidRequestException, "InvalidRequestException");
  },

  async "a caller without a policy is denied"() {
    const credentials = { accessKeyId: "nobody", secretAccessKey: "nobody" };
    const nobody = new sm.SecretsManagerClient({ credentials });
    const get = send(sm.GetSecretValueCommand, { SecretId: unique() }, nobody);
    await refused(get, sm.SecretsManagerServiceException, "AccessDeniedException", "is not authorized to perform");
  },

  async "a wrong secret key"() {
    const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" };
    const forger = new sm.SecretsManagerClient({ credentials });
    const list = send(sm.ListSecretsCommand, {}, forger);
    await refused(list, sm.SecretsManagerServiceException, "InvalidSignatureException");
  },

  async "a token sent again"() {
    const [name, token] = [unique(), randomUUID()];
    const input = { Name: name, SecretString: "one", ClientRequestToken: token };
    const first = await send(sm.CreateSecretCommand, input);
    const second = await send(sm.CreateSecretCommand, input);
    assert.deepEqual([second.ARN, second.VersionId], [first.ARN, first.VersionId]);
    const other = send(sm.CreateSecretCommand, { ...input, SecretString: "two" });
    await refused(other, sm.ResourceExistsException, "ResourceExistsException");
  },

  async "a lost answer is asked for again"() {
    const name = unique();
    const made = await send(sm.CreateSecretCommand, { Name: name, SecretString: "one" }, losing());
    assert.equal(made.$metadata.attempts, 2);
    const put = await send(sm.PutSecretValueCommand, { SecretId: name, SecretString: "two" }, losing());
    assert.equal(put.$metadata.attempts, 2);
    const { Versions } = await send(sm.ListSecretVersionIdsCommand, { SecretId: name });
    assert.deepEqual(Versions.map((version) => version.VersionId).sort(), [made.VersionId, put.VersionId].sort());
  },

  async "a clock that is an hour wrong"() {
    const { now } = Date;
    try {
      for (const hours of [1, -1]) {
        Date.now = () => now() + hours * 3_600_000;
        const wrong = new sm.SecretsManagerClient();
        assert.equal((await send(sm.ListSecretsCommand, {}, wrong)).$metadata.attempts, 2);
        assert.equal((await send(sm.ListSecretsCommand, {}, wrong)).$metadata.attempts, 1);
      }
    } finally {
      Date.now = now;
    }
  },

  async "a description and a value updated"() {
    const [name, token] = [unique(), randomUUID()];
    const made = await send(sm.CreateSecretCommand, { Name: name, SecretString: "one", Description: "before" });
    const described = await send(sm.UpdateSecretCommand, { SecretId: name, Description: "after" });
    assert.deepEqual([described.ARN, described.Name, described.VersionId], [made.ARN, name, undefined]);
    const input = { SecretId: name, SecretString: "two", ClientRequestToken: token };
    assert.equal((await send(sm.UpdateSecretCommand, input)).VersionId, token);
    assert.equal((await send(sm.GetSecretValueCommand, { SecretId: name })).SecretString, "two");
    assert.equal((await send(sm.DescribeSecretCommand, { SecretId: name })).Description, "after");
  },

  async "tags put on and taken off"() {
    const name = unique();
    await send(sm.CreateSecretCommand, { Name: name, Tags: [{ Key: "a", Value: "1" }] });
    await send(sm.TagResourceCommand, { SecretId: name, Tags: [{ Key: "b", Value: "2" }] });
    await send(sm.UntagResourceCommand, { SecretId: name, TagKeys: ["a", "absent"] });
    const { Tags } = await send(sm.DescribeSecretCommand, { SecretId: name });
    assert.deepEqual(Tags, [{ Key: "b", Value: "2" }]);
  },

  async "a random password"() {
    const input = { PasswordLength: 40, ExcludePunctuation: true, ExcludeUppercase: true };
    const { RandomPassword } = await send(sm.GetRandomPasswordCommand, input);
    assert.match(RandomPassword, /^[a-z0-9]{40}$/);
    const short = send(sm.GetRandomPasswordCommand, { PasswordLength: 3, RequireEachIncludedType: true });
    await refused(short, sm.InvalidParameterException, "InvalidParameterException");
  },

  async "many values at once"() {
    const [text, binary, missing] = [unique(), unique(), unique()];
    await send(sm.CreateSecretCommand, { Name: text, SecretString: "one" });
    await send(sm.CreateSecretCommand, { Name: binary, SecretBinary: Uint8Array.of(0, 255) });
    const { SecretValues, Errors } = await send(sm.BatchGetSecretValueCommand, {
      SecretIdList: [text, missing, binary],
    });
    const found = Object.fromEntries(SecretValues.map((value) => [value.Name, value]));
    assert.deepEqual(Object.keys(found).sort(), [text, binary].sort());
    assert.equal(found[text].SecretString, "one");
    assert.deepEqual(new Uint8Array(found[binary].SecretBinary), Uint8Array.of(0, 255));
    assert.equal(Errors.length, 1);
    assert.deepEqual([Errors[0].SecretId, Errors[0].ErrorCode], [missing, "ResourceNotFoundException"]);
  },

  async "a list with filters"() {
    const prefix = unique();
    for (const end of ["a", "b", "c"]) {
      const Tags = [{ Key: "end", Value: end }];
      await send(sm.CreateSecretCommand, { Name: `${prefix}/${end}`, Description: prefix, Tags });
    }
    const Filters = [
      { Key: "name", Values: [prefix] },
      { Key: "tag-value", Values: ["a", "c"] },
    ];
    const names = [];
    const input = { Filters, SortBy: "name", SortOrder: "asc" };
    for await (const page of sm.paginateListSecrets({ client, pageSize: 1 }, input)) {
      names.push(...page.SecretList.map((secret) => secret.Name));
    }
    assert.deepEqual(names, [`${prefix}/a`, `${prefix}/c`]);
  },

  async "a plan's role reads its three prefixes and nothing else"() {
    const prefix = unique();
    const of = (part) => `arn:aws:secretsmanager:us-east-1:*:secret:${prefix}/${part}/*`;
    const through = { "kms:ViaService": "secretsmanager.us-east-1.amazonaws.com" };
    const session = await sessionWith(
      policy(
        { Effect: "Allow", Action: [GET, DESCRIBE], Resource: ["twitter", "coingecko", "glassnode"].map(of) },
        {
          Effect: "Allow",
          Action: ["kms:Decrypt", "kms:DescribeKey"],
          Resource: "arn:aws:kms:us-east-1:*:key/*",
          Condition: { StringEquals: through },
        },
      ),
    );
    const [mine, other] = [`${prefix}/twitter/credentials`, `${prefix}/twitter-archive/old`];
    for (const Name of [mine, other]) await send(sm.CreateSecretCommand, { Name, SecretString: "{}" });
    assert.equal((await send(sm.GetSecretValueCommand, { SecretId: mine }, session)).SecretString, "{}");
    assert.equal((await send(sm.DescribeSecretCommand, { SecretId: mine }, session)).Name, mine);
    await denied(send(sm.GetSecretValueCommand, { SecretId: other }, session), GET);
    const put = { SecretId: mine, SecretString: "w" };
    await denied(send(sm.PutSecretValueCommand, put, session), "secretsmanager:PutSecretValue");
    await denied(send(sm.DeleteSecretCommand, { SecretId: mine }, session), "secretsmanager:DeleteSecret");
    await denied(send(sm.ListSecretsCommand, {}, session), "secretsmanager:ListSecrets");
  },

  async "a ticket's policy reads by tag, and cannot tag its way in"() {
    const prefix = unique();
    const name = `${prefix}/api-credentials`;
    const session = await sessionWith(
      policy({
        Effect: "Allow",
        Action: [GET, DESCRIBE],
        Resource: `arn:aws:secretsmanager:us-east-1:*:secret:${name}-??????`,
        Condition: { StringEquals: { "secretsmanager:ResourceTag/Project": "Signal9Advisor" } },
      }),
    );
    const project = (Value) => [{ Key: "Project", Value }];
    await send(sm.CreateSecretCommand, { Name: name, SecretString: "{}", Tags: project("Other") });
    const read = () => send(sm.GetSecretValueCommand, { SecretId: name }, session);
    await denied(read(), GET);
    const tag = { SecretId: name, Tags: project("Signal9Advisor") };
    await denied(send(sm.TagResourceCommand, tag, session), "secretsmanager:TagResource");
    await send(sm.TagResourceCommand, tag);
    assert.equal((await read()).SecretString, "{}");
    await send(sm.UntagResourceCommand, { SecretId: name, TagKeys: ["Project"] });
    await denied(read(), GET);
  },

  async "what the policy simulator answers is what happens"() {
    const name = unique();
    const { ARN } = await send(sm.CreateSecretCommand, { Name: name, SecretString: "v" });
    const user = await newUser({ Effect: "Allow", Action: GET, Resource: ARN });
    const { EvaluationResults } = await manage(iam.SimulatePrincipalPolicyCommand, {
      PolicySourceArn: user.arn,
      ActionNames: [GET, "secretsmanager:PutSecretValue"],
      ResourceArns: [ARN],
    });
    const decisions = EvaluationResults.map((result) => [result.EvalActionName, result.EvalDecision]);
    assert.deepEqual(decisions, [[GET, "allowed"], ["secretsmanager:PutSecretValue", "implicitDeny"]]);
    assert.equal(EvaluationResults[0].MatchedStatements[0].SourcePolicyId, "own");
    const reader = new sm.SecretsManagerClient({ credentials: user.credentials });
    assert.equal((await send(sm.GetSecretValueCommand, { SecretId: name }, reader)).SecretString, "v");
    const put = { SecretId: name, SecretString: "w" };
    await denied(send(sm.PutSecretValueCommand, put, reader), "secretsmanager:PutSecretValue");
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${String(error.stack).replaceAll("\n", " | ")}`);
  }
}
process.exitCode = failed ? 1 : 0;
