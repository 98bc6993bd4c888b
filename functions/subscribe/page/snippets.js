// Programs that verify what an endpoint gets, for each kind of authentication. The secret comes from the environment.

const PYTHON_OPENING = "import hmac\nimport os\n\n\ndef verify(body: bytes, headers: dict[str, str]) -> bool:\n";
const JAVASCRIPT_OPENING = 'import { createHmac, timingSafeEqual } from "node:crypto";\n\n';
const SAME = `function isSame(one, other) {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
`;

const STANDARD = {
  python: `# pip install standardwebhooks
import os

from standardwebhooks import Webhook


def verify(body: bytes, headers: dict[str, str]) -> object:
    """Return the event. Raises an error if the signature is wrong. \`body\` is the body as it came."""
    return Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, headers)
`,
  javascript: `// npm install standardwebhooks
import { Webhook } from "standardwebhooks";

// Returns the event. Throws if the signature is wrong. \`body\` is the body as it came: text or bytes.
export function verify(body, headers) {
  return new Webhook(process.env.WEBHOOK_SECRET).verify(body, headers);
}
`,
};

// `language` is python or javascript; header names are in lower case there, as servers give them.
export function snippet(language, auth) {
  if (auth.kind === "standard") return STANDARD[language];
  return language === "python" ? python(auth) : javascript(auth);
}

function python(auth) {
  if (auth.kind === "hmac") {
    const digest = auth.encoding === "base64" ? "base64.b64encode(digest.digest()).decode()" : "digest.hexdigest()";
    const opening = auth.encoding === "base64" ? `import base64\n${PYTHON_OPENING}` : PYTHON_OPENING;
    return `${opening}    digest = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), body, "sha256")
    expected = ${literal(auth.prefix)} + ${digest}
    return hmac.compare_digest(headers.get(${literal(auth.header.toLowerCase())}, "").encode(), expected.encode())
`;
  }
  const imported = auth.kind === "basic" ? `import base64\n${PYTHON_OPENING}` : PYTHON_OPENING;
  const expected = auth.kind === "basic"
    ? `"Basic " + base64.b64encode((${literal(auth.username)} + ":" + os.environ["WEBHOOK_SECRET"]).encode()).decode()`
    : '"Bearer " + os.environ["WEBHOOK_SECRET"]';
  return `${imported}    expected = ${expected}
    return hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode())
`;
}

function javascript(auth) {
  if (auth.kind === "hmac") {
    return `${JAVASCRIPT_OPENING}export function verify(body, headers) {
  const digest = createHmac("sha256", process.env.WEBHOOK_SECRET).update(body).digest(${literal(auth.encoding)});
  return isSame(headers[${literal(auth.header.toLowerCase())}] ?? "", ${literal(auth.prefix)} + digest);
}

${SAME}`;
  }
  const expected = auth.kind === "basic"
    ? `"Basic " + Buffer.from(${literal(auth.username)} + ":" + process.env.WEBHOOK_SECRET).toString("base64")`
    : '"Bearer " + process.env.WEBHOOK_SECRET';
  return `import { timingSafeEqual } from "node:crypto";

export function verify(body, headers) {
  return isSame(headers.authorization ?? "", ${expected});
}

${SAME}`;
}

// A text in quotes, as both languages write it.
function literal(text) {
  return JSON.stringify(text ?? "");
}
