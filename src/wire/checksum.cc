#include "wire/checksum.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace warren::wire {
namespace checksum_kernel {
namespace {

// One function for both: a null `out` is known at compile time in each caller.
template <bool copy>
inline Sum sum_words(std::byte* out, const std::byte* in, std::size_t size) noexcept {
  Sum low = 0;
  Sum high = 0;
  const auto take = [&]<class T>(T) {
    const auto word = load_raw<T>(in);
    if constexpr (copy) {
      store_raw(out, word);
      out += sizeof(T);
    }
    in += sizeof(T);
    return word;
  };
  for (; size >= 8; size -= 8) {
    const auto word = take(std::uint64_t{});
    low += word & 0xffffffffU;
    high += word >> 32;
  }
  if ((size & 4) != 0) low += take(std::uint32_t{});
  if ((size & 2) != 0) low += take(std::uint16_t{});
  if ((size & 1) != 0) {
    const std::byte last[2] = {static_cast<std::byte>(take(std::uint8_t{})), std::byte{0}};
    low += load_raw<std::uint16_t>(last);
  }
  const Sum sum = low + high;
  return (sum & 0xffffffffU) + (sum >> 32);
}

}  // namespace

Sum sum_portable(const std::byte* in, std::size_t size) noexcept {
  return sum_words<false>(nullptr, in, size);
}
Sum copy_portable(std::byte* out, const std::byte* in, std::size_t size) noexcept {
  return sum_words<true>(out, in, size);
}

#ifdef __x86_64__
namespace {

// vpmaddwd adds neighbouring *signed* words into 32-bit lanes. Flipping the top bit of each word
// makes it signed, 0x8000 too small; what is missing is added at the end. A lane grows by at most
// 2^16 per step, and a block has 2^14 steps, half of them for each accumulator: no overflow.
constexpr std::size_t max_block = std::size_t{1} << 19;
constexpr std::size_t vector_size = 32;
constexpr Sum missing_per_vector = Sum{16} * 0x8000;

template <bool copy>
__attribute__((target("avx2"))) inline __m256i step(std::byte* out, const std::byte* in,
                                                    std::size_t vector, __m256i sum) noexcept {
  const auto at = vector * vector_size;
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + at));
  if constexpr (copy) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), words);
  const __m256i flipped = _mm256_xor_si256(words, _mm256_set1_epi16(-0x8000));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(flipped, _mm256_set1_epi16(1)));
}

__attribute__((target("avx2"))) inline std::int64_t add_lanes(__m256i sum) noexcept {
  const __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum));
  const __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1));
  const __m256i four = _mm256_add_epi64(low, high);
  const __m128i two =
      _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
  return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
}

template <bool copy>
__attribute__((target("avx2"))) Sum sum_vectors(std::byte* out, const std::byte* in,
                                                std::size_t size) noexcept {
  Sum total = 0;
  while (size >= vector_size) {
    const std::size_t vectors = (size < max_block ? size : max_block) / vector_size;
    __m256i a = _mm256_setzero_si256();
    __m256i b = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + 2 <= vectors; i += 2) {
      a = step<copy>(out, in, i, a);
      b = step<copy>(out, in, i + 1, b);
    }
    if (i < vectors) a = step<copy>(out, in, i, a);
    total += static_cast<Sum>(add_lanes(a) + add_lanes(b)) + vectors * missing_per_vector;
    in += vectors * vector_size;
    if constexpr (copy) out += vectors * vector_size;
    size -= vectors * vector_size;
  }
  total += sum_words<copy>(out, in, size);
  return (total & 0xffffffffU) + (total >> 32);
}

}  // namespace

bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") != 0; }
Sum sum_avx2(const std::byte* in, std::size_t size) noexcept {
  return sum_vectors<false>(nullptr, in, size);
}
Sum copy_avx2(std::byte* out, const std::byte* in, std::size_t size) noexcept {
  return sum_vectors<true>(out, in, size);
}
#endif

}  // namespace checksum_kernel

namespace {
#ifdef __x86_64__
const auto sum_kernel =
    checksum_kernel::has_avx2() ? checksum_kernel::sum_avx2 : checksum_kernel::sum_portable;
const auto copy_kernel =
    checksum_kernel::has_avx2() ? checksum_kernel::copy_avx2 : checksum_kernel::copy_portable;
#else
constexpr auto sum_kernel = checksum_kernel::sum_portable;
constexpr auto copy_kernel = checksum_kernel::copy_portable;
#endif
}  // namespace

Sum sum_bytes(std::span<const std::byte> bytes) noexcept {
  return sum_kernel(bytes.data(), bytes.size());
}

Sum copy_and_sum(std::byte* out, std::span<const std::byte> bytes) noexcept {
  return copy_kernel(out, bytes.data(), bytes.size());
}

Sum sum_pseudo_header4(const std::byte* addresses, std::uint8_t protocol,
                       std::uint16_t length) noexcept {
  return Sum{load_raw<std::uint32_t>(addresses)} + load_raw<std::uint32_t>(addresses + 4) +
         sum_of(std::uint16_t{protocol}) + sum_of(length);
}

Sum sum_pseudo_header6(const std::byte* addresses, std::uint8_t protocol,
                       std::uint32_t length) noexcept {
  Sum sum = sum_of(std::uint16_t{protocol}) + sum_of(length);
  for (std::size_t i = 0; i < 32; i += 4) sum += load_raw<std::uint32_t>(addresses + i);
  return sum;
}

}  // namespace warren::wire
