// The caught rows of Google Sheets, each sheet as a table.

import { get, post } from "/page/api.js";
import { fill, h, toast } from "/page/dom.js";
import { empty } from "/page/pieces.js";
import { on } from "/page/state.js";
import { plural } from "/page/words.js";

export function sheetsView(main) {
  const list = h("div", { class: "sheets" });
  let asking = false;
  fill(main, h("h1", { class: "unseen" }, "Sheets"), list);

  async function load() {
    if (asking) return;
    asking = true;
    try {
      const { sheets } = await get("/api/sheets");
      fill(list,
        h("p", { class: "faint" }, "Rows for Google Sheets without a secret are caught and shown here, not sent. After a change of columns, empty the sheet, then resume its destination."),
        sheets.map((each) => sheetView(each, load)));
    } finally {
      asking = false;
    }
  }

  load();
  const forget = [on("overview", load)];
  return { update: () => {}, close: () => forget.forEach((each) => each()) };
}

function sheetView(sheet, load) {
  const row = (cells, number, cell) => h("tr", {}, h("th", { scope: "row", class: "faint" }, String(number)), cells.map((each) => h(cell, cell === "th" ? { scope: "col" } : {}, String(each))));
  return h("section", { class: "sheet", "aria-label": `Sheet ${sheet.sheet}` },
    h("div", { class: "title-line" },
      h("h2", {}, sheet.sheet), h("span", { class: "faint mono" }, sheet.spreadsheet), h("span", { class: "faint" }, plural(Math.max(0, sheet.count - 1), "row")),
      sheet.count > 0 && h("button", { type: "button", onclick: () => emptied(sheet, load) }, "Empty this sheet")),
    sheet.count === 0 ? empty("No row yet", h("p", {}, "A delivery to this sheet appears here as a row."))
      : h("div", { class: "scroll", tabindex: "0" }, h("table", {},
        h("thead", {}, row(sheet.first, 1, "th")),
        h("tbody", {}, sheet.rows.map((cells, index) => row(cells, sheet.begin + index, "td"))))),
    sheet.begin > 2 && h("p", { class: "faint" }, `The newest ${plural(sheet.rows.length, "row")} of ${(sheet.count - 1).toLocaleString()}.`));
}

async function emptied(sheet, load) {
  try {
    await post("/api/sheets/empty", { spreadsheet: sheet.spreadsheet, sheet: sheet.sheet });
    toast(`${sheet.sheet} is empty`);
    load();
  } catch (error) {
    toast(error.message, "fault");
  }
}
