"""The page of a comparison: tables of times and ratios, and the rates of simple loops on the machine."""

from compare import BATCH, CASES, CONNECTIONS, SERVICES, STEP, Results, median
from engines import ENGINES, Case
from networks import Sizes

# The microseconds of each round, by engine and case.
Times = dict[str, dict[Case, list[float]]]

# Bytes of a weight, and the loop that the rows of a large batch are compared with.
OURS = {"f32": (4, "fma_flops"), "bf16": (2, "fma_flops"), "int8": (1, "int8_ops")}
# The engine of ours that each other one is compared with.
PEERS = {
    "ONNX Runtime f32": "rnnlm-server f32",
    "ONNX Runtime int8": "rnnlm-server int8",
    "PyTorch f32": "rnnlm-server f32",
    "PyTorch int8": "rnnlm-server int8",
    "tract f32": "rnnlm-server f32",
}


def page(results: Results) -> str:
    machine, plan = results.machine, results.plan
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    parts = [
        "# Performance",
        "This page is written by `python3 benches/peers/run.py`, which measures everything below in one run of "
        f"{plan.rounds} rounds. In a round, all engines measure one case right after one another for {plan.seconds:g} s each, pinned to the same core with one thread, "
        "then the next case. A time is the median over the rounds of each round's median; a ratio or a share is the median over the rounds of those "
        "in one round, so that a machine that is faster in one minute than in another favours nobody.",
        f"Machine: {machine['cpu']}, {machine['cores']} virtual CPUs. Compared with {versions}.",
        bounds([found for of_network in results.bounds.values() for found in of_network]),
    ]
    for sizes, times in results.times.items():
        parts += [f"## {title(sizes)}", times_table(times), "How many times as long the others take:", ratios_table(times)]
        parts += [shares(sizes, times, results.bounds[sizes])]
    parts += ["## Over HTTP", services(results)]
    return "\n\n".join(parts) + "\n"


def bounds(found: list[dict]) -> str:
    kinds = [
        ("Memory reads", "read_bytes_per_second", "GB/s"),
        ("Multiply-adds of `f32`, each two operations", "fma_flops", "GFLOP/s"),
        ("The same, with weights and activations loaded from the first-level cache", "tile_flops", "GFLOP/s"),
        ("Multiply-adds of bytes, each two operations", "int8_ops", "GOP/s"),
    ]
    rows = []
    for name, kind, unit in kinds:
        rates = sorted(rate[kind] / 1e9 for rate in found if rate[kind] is not None)
        if rates:
            rows.append((name, f"{median(rates):.1f} {unit}", f"{rates[0]:.1f} to {rates[-1]:.1f}"))
    return (
        "For comparison, what one core reaches in simple loops, measured beside the engines in every round. Memory is read from a buffer of 512 MiB; "
        "a step can exceed that rate where its weights stay in a cache or are fetched ahead:\n\n" + table(["Rate of", "Median", "Range"], rows)
    )


def title(sizes: Sizes) -> str:
    return f"{sizes.name}: LSTM, {sizes.layers} x {sizes.hidden_size} units, {sizes.vocab_size} tokens"


def times_table(times: Times) -> str:
    rows = [(engine, *(duration(median(times[engine][case])) for case in CASES)) for engine in ENGINES]
    return table(["Microseconds", *(case.name for case in CASES)], rows)


def ratios_table(times: Times) -> str:
    rows = []
    for peer, ours in PEERS.items():
        rows.append((f"{peer} / {ours}", *(f"{ratio(times[peer][case], times[ours][case]):.2f}" for case in CASES)))
    return table(["Ratio", *(case.name for case in CASES)], rows)


def shares(sizes: Sizes, times: Times, bounds: list[dict]) -> str:
    """A step beside the simple loops: that of memory for one row, those of arithmetic for many."""
    rows = []
    for dtype, (bytes_each, peak) in OURS.items():
        ours = times[f"rnnlm-server {dtype}"]
        read = [sizes.multiplied * bytes_each / (micros / 1e6) for micros in ours[STEP]]
        done = [2 * sizes.multiplied * BATCH.rows / (micros / 1e6) for micros in ours[BATCH]]
        of_memory = ratio(read, [bound["read_bytes_per_second"] for bound in bounds])
        peaks = [bound[peak] for bound in bounds]
        share = "-" if None in peaks else f"{ratio(done, peaks):.0%}"
        rows.append((dtype, f"{median(read) / 1e9:.1f} GB/s", f"{of_memory:.0%}", f"{median(done) / 1e9:.0f} G/s", share))
    return (
        f"Relative to those loops, counting the {sizes.multiplied} weights that a step multiplies when the first layer's input product is kept:\n\n"
        + table(["Weights", "Read, 1 row", "Of the memory loop", f"Operations, {BATCH.rows} rows", "Of the multiply-add loop"], rows)
    )


def services(results: Results) -> str:
    headings = ["Answers a second", *(f"{count} connections" if count > 1 else "1 connection" for count in CONNECTIONS)]
    rows = [(service, *(f"{median(results.rates[service][count]):.0f}" for count in CONNECTIONS)) for service in SERVICES]
    ours = results.rates[SERVICES[0]]
    for service in SERVICES[1:]:
        rows.append((f"{SERVICES[0]} / {service}", *(f"{ratio(ours[count], results.rates[service][count]):.2f}" for count in CONNECTIONS)))
    return (
        "A next-token request of one token to the first network, the ten most likely tokens in the answer; logs on, the client on the same machine.\n\n"
        + table(headings, rows)
        + f"\n\nOne greedy stream: {median(results.gaps):.2f} times the step of one row from token to token."
    )


def ratio(values: list[float], to: list[float]) -> float:
    """The median of the rounds' ratios."""
    return median([value / other for value, other in zip(values, to, strict=True)])


def table(headings: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(micros: float) -> str:
    return f"{micros:.1f}" if micros < 100 else f"{micros:.0f}"
