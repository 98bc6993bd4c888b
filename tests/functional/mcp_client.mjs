// Lists and calls the tools of a server with the official client for TypeScript.
//
// Arguments: "initialize" or the revision to speak, the tool, its arguments as JSON, and the server's command line.
// Prints {tools, text}: the names of the tools, and the text of the tool's result.

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [revision, tool, toolArguments, command, ...args] = process.argv.slice(2);
const versionNegotiation = { mode: revision === "initialize" ? "legacy" : revision === "auto" ? "auto" : { pin: revision } };
const client = new Client({ name: "test", version: "1" }, { versionNegotiation });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools } = await client.listTools();
const { content } = await client.callTool({ name: tool, arguments: JSON.parse(toolArguments) });
console.log(JSON.stringify({ tools: tools.map((each) => each.name), text: content[0].text }));
await client.close();
