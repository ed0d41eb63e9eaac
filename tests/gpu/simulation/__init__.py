"""A CUDA device that is not there: tensors that say `cuda:0`, with numbers of the CPU and rules of CUDA.

The real code runs on it through its branches for CUDA. What CUDA would punish raises, or is written in the log:

- operands and generators of two devices;
- host syncs and copies between host and device, by the place in harness/ that asked for them;
- capture of graphs: nothing that is captured happens, what it makes is NaN until a replay; a sync, a pageable copy or a
  generator that is not registered raises; a replay repeats the operations on the same memory, and raises where that
  memory has been freed;
- a tensor that a stream uses without having waited for the stream that wrote it, or that is freed while another stream
  may still use it;
- memory that runs out, cuDNN without an engine, a card without bf16;
- operations of torch's list of those that are not deterministic, memory filled with NaN in deterministic mode,
  convolutions that are not channels-last, TF32.

It cannot see what only a GPU shows: how kernels round, and whether they give the same bits twice; what cuDNN, cuBLAS
and Triton choose or refuse; speed; races of streams other than those above, since nothing runs at the same time; real
memory, its fragments and the pools of graphs; the threads of autograd, as gradients are computed in the thread that
asks for them. That something runs here does not show that it runs on a GPU.

It changes torch for the whole process.
"""
