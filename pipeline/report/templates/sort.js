// Headings of sortable tables become buttons; numbers sort by data-value.
document.querySelectorAll("table.sortable").forEach(function (table) {
  var body = table.tBodies[0];
  var heads = Array.from(table.querySelectorAll("thead tr:last-child th"));
  if (body.rows.length < 2) return;
  heads.forEach(function (head, column) {
    var button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.appendChild(head.firstChild);
    head.appendChild(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", function () {
      var down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      var rows = Array.from(body.rows).map(function (row) {
        return { row: row, key: row.cells[column].dataset.value || "" };
      });
      rows.sort(function (a, b) {
        // Absent numbers stay last, whichever way the rest goes.
        if (!a.key || !b.key) return (a.key ? 0 : 1) - (b.key ? 0 : 1);
        var x = Number(a.key), y = Number(b.key);
        var order = isNaN(x) || isNaN(y) ? a.key.localeCompare(b.key) : x - y;
        return down ? -order : order;
      });
      rows.forEach(function (item) { body.appendChild(item.row); });
    });
  });
});
