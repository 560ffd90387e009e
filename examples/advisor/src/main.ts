// Prints how long each credential is, twice; the second time the agent is not asked.

import { CredentialsHelper, settingsOfEnvironment } from "./credentials.js";

try {
  const helper = new CredentialsHelper(settingsOfEnvironment());
  for (let round = 0; round < 2; round += 1) {
    const credentials = await helper.getApiCredentials();
    for (const [name, value] of Object.entries(credentials)) console.log(`${name}: ${value.length} characters`);
  }
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = 1;
}
