// Requests to the inspector's JSON interface.

export async function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return answerOf(await fetch(query ? `${path}?${query}` : path));
}

export async function post(path, body = {}) {
  return answerOf(await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
}

async function answerOf(response) {
  if (response.ok) return response.json();
  const error = new Error((await response.text()).trim() || `The inspector answered ${response.status}`);
  error.status = response.status;
  throw error;
}
