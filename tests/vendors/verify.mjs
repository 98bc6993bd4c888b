// Verifies signed requests with their vendors' own libraries: one JSON object a line in, one verdict a line out.
//
// In: {vendor, now, method, url, headers, body, secret}, where `now` is the time in Unix seconds that the libraries are to
// take for the present, the body is text and the names of headers are in lower case.
// Out: {"verified": true}, {"verified": false}, or {"error": "…"} where the library threw.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const accepted = async (call) => {
  await call;
  return true;
};
const pem = (base64) => `-----BEGIN PUBLIC KEY-----${base64}-----END PUBLIC KEY-----`;

const VENDORS = {
  adyen: ({ body, secret }) => {
    const { hmacValidator } = require("@adyen/api-library");
    const items = JSON.parse(body).notificationItems.map((item) => item.NotificationRequestItem);
    return items.length > 0 && items.every((item) => new hmacValidator().validateHMAC(item, secret));
  },
  clerk: async ({ method, url, headers, body, secret }) => {
    const { verifyWebhook } = await import("@clerk/backend/webhooks");
    return accepted(verifyWebhook(new Request(url, { method, headers, body }), { signingSecret: secret }));
  },
  cloudinary: ({ headers, body, secret }) => {
    const cloudinary = require("cloudinary").v2;
    cloudinary.config({ api_secret: secret });
    const at = Number(headers["x-cld-timestamp"]);
    return cloudinary.utils.verifyNotificationSignature(body, at, headers["x-cld-signature"]);
  },
  contentful: ({ method, url, headers, body, secret }) => {
    const { pathname, search } = new URL(url);
    return require("@contentful/node-apps-toolkit").verifyRequest(secret, { method, path: pathname + search, headers, body });
  },
  discord: ({ headers, body, secret }) =>
    require("discord-interactions").verifyKey(
      body,
      headers["x-signature-ed25519"],
      headers["x-signature-timestamp"],
      Buffer.from(secret, "base64").toString("hex"),
    ),
  ebay: ({ headers, body, secret }) => {
    // The library fetches the key from eBay; the rest is as it runs in production.
    require("event-notification-nodejs-sdk/lib/client").getPublicKey = async () => ({ key: pem(secret) });
    const { validateSignature } = require("event-notification-nodejs-sdk/lib/validator");
    return validateSignature(JSON.parse(body), headers["x-ebay-signature"], {});
  },
  github: ({ headers, body, secret }) =>
    import("@octokit/webhooks-methods").then(({ verify }) => verify(secret, body, headers["x-hub-signature-256"])),
  hubspot: ({ method, url, headers, body, secret }) =>
    require("@hubspot/api-client/lib/src/utils/signature").Signature.isValid({
      method,
      signatureVersion: "v3",
      signature: headers["x-hubspot-signature-v3"],
      clientSecret: secret,
      requestBody: body,
      url,
      timestamp: Number(headers["x-hubspot-request-timestamp"]),
    }),
  linear: async ({ headers, body, secret }) => {
    const { LinearWebhookClient } = await import("@linear/sdk/webhooks");
    const at = JSON.parse(body).webhookTimestamp;
    return new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"], at);
  },
  mux: ({ headers, body, secret }) => {
    const { Mux } = require("@mux/mux-node");
    const client = new Mux({ tokenId: "id", tokenSecret: "secret" });
    return accepted(client.webhooks.verifySignature(body, headers, secret));
  },
  notion: ({ headers, body, secret }) =>
    require("@notionhq/client").verifyWebhookSignature({
      body,
      signature: headers["x-notion-signature"],
      verificationToken: secret,
    }),
  openai: ({ headers, body, secret }) => {
    const { OpenAI } = require("openai");
    return accepted(new OpenAI({ apiKey: "key" }).webhooks.verifySignature(body, headers, secret));
  },
  paddle: ({ headers, body, secret }) => {
    const { Paddle } = require("@paddle/paddle-node-sdk");
    return new Paddle("key").webhooks.isSignatureValid(body, secret, headers["paddle-signature"]);
  },
  polar: async ({ headers, body, secret }) => {
    const { webhooks } = await import("@polar-sh/sdk/2026-10");
    return accepted(webhooks.validateEvent(body, headers, secret));
  },
  razorpay: ({ headers, body, secret }) =>
    require("razorpay").validateWebhookSignature(body, headers["x-razorpay-signature"], secret),
  replicate: ({ headers, body, secret }) =>
    require("replicate").validateWebhook({
      id: headers["webhook-id"],
      timestamp: headers["webhook-timestamp"],
      signature: headers["webhook-signature"],
      body,
      secret,
    }),
  resend: ({ headers, body, secret }) => {
    const { Resend } = require("resend");
    const [id, timestamp, signature] = ["id", "timestamp", "signature"].map((name) => headers[`svix-${name}`]);
    return accepted(
      new Resend("re_key").webhooks.verify({ payload: body, headers: { id, timestamp, signature }, webhookSecret: secret }),
    );
  },
  sanity: ({ headers, body, secret }) =>
    require("@sanity/webhook").isValidSignature(body, headers["sanity-webhook-signature"], secret),
  shopify: async ({ headers, body, secret }) => {
    require("@shopify/shopify-api/adapters/node");
    const { shopifyApi, ApiVersion, LogSeverity } = require("@shopify/shopify-api");
    const api = shopifyApi({
      apiKey: "key",
      apiSecretKey: secret,
      apiVersion: Object.values(ApiVersion).at(-1),
      hostName: "hooks.example.com",
      isEmbeddedApp: false,
      logger: { log: () => {}, level: LogSeverity.Error },
    });
    const checked = await api.webhooks.validate({ rawBody: body, rawRequest: { method: "POST", url: "/", headers } });
    if (!checked.valid) throw new Error(checked.reason);
    return true;
  },
  square: ({ url, headers, body, secret }) =>
    require("square").WebhooksHelper.verifySignature({
      requestBody: body,
      signatureHeader: headers["x-square-hmacsha256-signature"],
      signatureKey: secret,
      notificationUrl: url,
    }),
  telnyx: ({ headers, body, secret }) => {
    const { Telnyx } = require("telnyx");
    return accepted(new Telnyx({ apiKey: "key" }).webhooks.unwrap(body, { headers, key: secret }));
  },
  twilio: ({ url, headers, body, secret }) => {
    const { getSignatureAlgorithm, validateRequest } = require("twilio/lib/webhooks/webhooks");
    const algorithm = getSignatureAlgorithm(headers["x-twilio-webhooks-signature-settings"]);
    const form = Object.fromEntries(new URLSearchParams(body));
    return validateRequest(secret, headers["x-twilio-signature"], url, form, algorithm);
  },
  workos: async ({ headers, body, secret }) => {
    const { WorkOS } = require("@workos-inc/node");
    const payload = JSON.parse(body);
    const client = new WorkOS("sk_test_key", { clientId: "client" });
    return client.webhooks.verifyHeader({ payload, sigHeader: headers["workos-signature"], secret });
  },
};

let now = 0;
globalThis.Date = class extends Date {
  constructor(...parts) {
    super(...(parts.length ? parts : [now]));
  }
  static now() {
    return now;
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const { vendor, ...request } = JSON.parse(line);
  now = request.now * 1000;
  let verdict;
  try {
    verdict = { verified: (await VENDORS[vendor](request)) === true };
  } catch (error) {
    verdict = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
