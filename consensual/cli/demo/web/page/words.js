// How things are called and coloured, in all parts of the page.

const TERMS = 8; // colours

export function termClass(term) {
  return `t${term % TERMS}`;
}

// A node's role in words, and what it is drawn as.
export function roleOf(node) {
  if (node.role === 'down') return { kind: 'down', name: 'down' };
  if (node.role === 'detached') return { kind: 'detached', name: 'detached' };
  if (node.membership === '') return { kind: 'detached', name: 'removed' }; // and nobody told it yet
  if (node.membership === 'learner') return { kind: 'learner', name: 'learner' };
  return { kind: node.role, name: node.role.replace('_', '-') };
}

// A command's text, without characters that have no shape.
export function clean(text) {
  return String(text).replace(/[\p{C}\s]+/gu, ' ');
}
