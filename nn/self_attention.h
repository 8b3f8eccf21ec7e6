// SPDX-License-Identifier: Apache-2.0
// The self-attention layer of transformers.
#pragma once

#include <limbeck/nn/linear.h>

namespace limbeck {

/// What sets one transformer's attention apart from another's. GPT-2: causal. Llama: causal,
/// kv_heads, no biases, rotary_theta. Qwen2: the same with qkv_bias. BERT, ViT and
/// torch.nn.MultiheadAttention: the defaults.
struct SelfAttentionOptions {
  std::int64_t width = 0;       ///< of the tokens that come and go
  std::int64_t heads = 0;       ///< of queries
  std::int64_t kv_heads = 0;    ///< of keys and values, a divisor of heads; 0: heads
  std::int64_t head_width = 0;  ///< 0: width / heads
  bool qkv_bias = true;
  bool out_bias = true;
  bool causal = false;
  double scale = 0;         ///< of the scores; 0: 1 / sqrt(head_width)
  double rotary_theta = 0;  ///< base of rotary positions; 0: none
  double dropout = 0;       ///< of the probabilities, in training
};

/// Tokens (N,T,width) to the same shape: one product gives queries, keys and values, heads attend,
/// one product mixes them. Parameters "qkv.weight" ((H + 2G) D, width) and "qkv.bias", the rows of
/// queries first, then of keys, then of values; "out.weight" (width, H D) and "out.bias". Separate
/// projections are parts of qkv to a NameRule. Context::lengths hides the keys beyond a sequence's
/// end. Dropout's mask is a function of the context as nn/dropout.h's is.
class SelfAttention : public Module {
 public:
  explicit SelfAttention(const SelfAttentionOptions& options, DType dtype = DType::f32,
                         Device device = Device::cpu());

  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  Variable turned(const Variable& qkv);

  SelfAttentionOptions options_;  // nothing left at 0 that stands for something else
  Linear qkv_, out_;
  Tensor table_;                  // of rotary positions, as many as were needed so far
  std::vector<Tensor> outgrown_;  // tables before it, which a captured graph may still read
};

}  // namespace limbeck
