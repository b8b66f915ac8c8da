"""What a machine is, of x86-64 and of Arm."""

import pytest

from hand_pose_ros import machine

X86 = 'model name\t: Some Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni avx_vnni amx_int8\n'
ARM = 'processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm aes asimddp\n'


@pytest.mark.parametrize(
    ('info', 'able', 'name'),
    [(X86, ['AVX2', 'AVX-512', 'VNNI', 'AMX'], 'Some Xeon'), (ARM, ['NEON', 'dot product'], None), (None, [], None)],
    ids=['x86-64', 'Arm', 'unknown'],
)
def test_instruction_sets_are_read(tmp_path, monkeypatch, info, able, name):
    if info is not None:
        (tmp_path / 'cpuinfo').write_text(info * 2)
    monkeypatch.setattr(machine, 'CPU_INFO', tmp_path / 'cpuinfo')
    assert machine.instruction_sets() == able
    assert machine.processor_name() == (name or machine.platform.machine())
    assert (' '.join(able) or 'unknown') in machine.describe_machine()


def test_an_imitated_processor_is_said(monkeypatch):
    monkeypatch.setenv(machine.ISA_VARIABLE, 'AVX2')
    assert machine.imitated_isa() == 'avx2' and 'imitates one with AVX2 alone' in machine.describe_machine()
    assert machine.imitated_isa({machine.ISA_VARIABLE: 'DEFAULT'}) == machine.imitated_isa({}) == ''
