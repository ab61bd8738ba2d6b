/** What `phasetrace.reports.document` puts into the page. */

/** Integer nanoseconds; beyond 2^53 - 1 a text of digits, so that none is lost. */
export type Ns = number | string;

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cost: number | null;
  unpriced: number;
}

export interface Finding {
  kind: string;
  node_id: string | null;
  phase: string | null;
  saving_ns: Ns;
  saving: number;
  text: string;
}

export interface Figures {
  calls: number;
  total_ns: Ns;
  self_ns: Ns;
  share_ns: Ns;
  share: number;
  of_node: number;
  critical_ns: Ns;
  p50_ns: Ns | null;
  p95_ns: Ns | null;
  max_ns: Ns | null;
  errors: number;
  cancelled: number;
  input_tokens: number;
  output_tokens: number;
  cost: number | null;
}

export interface PhaseRow extends Figures {
  phase: string;
}

export interface NodeRow extends Figures {
  node_id: string;
  node_type: string | null;
  phases: PhaseRow[];
}

/** The rows of the call tree, in columns; texts are numbers of `names`, -1 for none. */
export interface RowColumns {
  parent: number[];
  type: ("e" | "n" | "p")[];
  name: number[];
  node: number[];
  node_type: number[];
  calls: number[];
  total_ns: Ns[];
  self_ns: Ns[];
  critical_ns: Ns[];
}

/** The spans, in columns; see `phasetrace.reports.columns`. */
export interface SpanColumns {
  lanes: number[][];
  gap: Ns[];
  length: Ns[];
  parent: number[];
  error: number[];
  cancelled: number[];
  open: number[];
  iteration: { at: number[]; text: number[] };
  usage: {
    at: number[];
    input: number[];
    output: number[];
    cost: (number | null)[];
    model: number[];
  };
  id: string[];
}

export interface PathColumns {
  owner: number[];
  length: Ns[];
  wait: number[];
  waiting: number[];
}

/** What spans say, in columns; see `phasetrace.reports.details`. */
export interface DetailColumns {
  texts: string[];
  shapes: number[][];
  entries: number[][];
  stacks: number[][];
  at: number[];
  entry: number[];
  message: { at: number[]; text: number[] };
  event: { at: number[]; name: number[]; offset: Ns[]; entry: number[]; stack: number[] };
  more_events: { at: number[]; count: number[] };
  nothing: number[];
  left_out: number;
}

export interface RunDocument {
  exec_id: string;
  name: string | null;
  status: string;
  trace_id: string;
  started_ns: Ns;
  duration_ns: Ns;
  started: string;
  spans: number;
  errors: number;
  cancelled: number;
  unattributed_ns: Ns;
  unattributed: number;
  critical_unattributed_ns: Ns;
  critical_waiting_ns: Ns;
  wall_ns: Ns;
  at_once: { average: number; maximum: number };
  usage: Usage;
  open: number;
  usual: string | null;
  notes: string[];
  findings: Finding[];
  nodes: NodeRow[];
  rows: RowColumns;
  span_columns: SpanColumns;
  path: PathColumns;
  details: DetailColumns;
  names: string[];
}

export interface DiffFigures {
  runs: number;
  calls: number;
  total_ns: Ns;
  self_ns: Ns;
  share_ns: Ns;
  share: number;
  critical_ns: Ns;
  critical: number;
}

export interface DiffRow {
  node_id: string | null;
  phase: string | null;
  a: DiffFigures;
  b: DiffFigures;
  change_ns: Ns;
  change: number | null;
  is_small: boolean;
  verdict: string | null;
}

export interface Diff {
  change_ns: Ns;
  change: number | null;
  rows: DiffRow[];
  unattributed: DiffRow;
}

export interface ReportDocument {
  schema: string;
  version: string;
  runs: RunDocument[];
  diff: Diff | null;
}
