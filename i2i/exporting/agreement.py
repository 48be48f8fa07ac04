"""How well an exported file agrees with torch, in words."""

from i2i.models.spec import ModelSpec


def agreement(spec: ModelSpec) -> str:
    """Say how well an exported file agrees with torch."""
    proof = spec.proof
    assert proof is not None
    if spec.int8 and spec.precision == "int8_weights":
        return f"weights in int8, {spec.int8.psnr_db:.1f} dB from fp32 (PSNR)"
    if spec.int8:
        gain, loss = f"{spec.int8.speed:.2f} times as fast as fp32", f"{spec.int8.psnr_db:.1f} dB from it (PSNR)"
        return f"int8, {gain} on the processor that exported it, and {loss}"
    if proof.max_difference == 0:
        return "identical to torch"
    if spec.io == "tensor":
        return f"equal to torch within {proof.max_difference:.1e}, on average {proof.mean_difference:.1e} ({spec.unit})"
    of = 10_000 if proof.differing >= 1e-4 else 1_000_000
    levels = "one level" if proof.max_difference == 1 else f"up to {proof.max_difference:.0f} levels"
    differing = proof.differing * of
    count = f"{differing:,.0f}" if differing >= 1 else "at most 1"
    return f"equal to torch but for {count} of {of:,} values, by {levels}"
