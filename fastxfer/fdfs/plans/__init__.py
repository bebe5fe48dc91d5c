"""Operations as plans: what to ask whom, and what to do about the answer, without network I/O."""
