#include "wireguard/cookie.h"

#include "crypto/aead.h"
#include "crypto/blake2s.h"

namespace warren::wireguard {

using crypto::blake2s;
using crypto::blake2s_mac;
using namespace std::string_view_literals;

namespace {

constexpr std::size_t mac_length = sizeof(Mac);

// What MAC1 and MAC2 are made of: all that stands before them.
Bytes before_mac1(Bytes message) noexcept {
  return {message.data(), message.size() - 2 * mac_length};
}
Bytes before_mac2(Bytes message) noexcept { return {message.data(), message.size() - mac_length}; }

}  // namespace

MacKeys::MacKeys(const PublicKey& receiver) noexcept
    : mac1(blake2s("mac1----"sv, receiver)), cookie(blake2s("cookie--"sv, receiver)) {}

CookieChecker::Verdict CookieChecker::check(Bytes message, Bytes source, Time now) const noexcept {
  const Bytes mac1{before_mac1(message).end(), mac_length};
  const Bytes mac2{before_mac2(message).end(), mac_length};
  if (!crypto::constant_time_equal(blake2s_mac(keys_.mac1, before_mac1(message)), mac1))
    return Verdict::invalid;
  if (now >= secret_until_) return Verdict::mac1;
  const auto expected = blake2s_mac(cookie_of(source), before_mac2(message));
  return crypto::constant_time_equal(expected, mac2) ? Verdict::mac1_and_mac2 : Verdict::mac1;
}

CookieChecker::Cookie CookieChecker::cookie_of(Bytes source) const noexcept {
  return Cookie{blake2s_mac(secret_, source)};
}

CookieReply CookieChecker::reply(std::uint32_t receiver, const Mac& mac1, Bytes source,
                                 Time now) noexcept {
  if (now >= secret_until_) {
    secret_ = crypto::Key::random();
    secret_until_ = now + cookie_lifetime;
  }
  CookieReply out;
  out.receiver = receiver;
  crypto::random_bytes(out.nonce);
  // A reply that could not be sealed is all zero, and nobody accepts it.
  if (!crypto::xaead_seal(out.sealed_cookie, keys_.cookie, out.nonce, cookie_of(source), mac1))
    out.sealed_cookie = {};
  return out;
}

void CookieJar::stamp(Bytes message, Mac& mac1, Mac& mac2, Time now) noexcept {
  mac1 = blake2s_mac(keys_.mac1, before_mac1(message));
  mac2 = now < cookie_until_ ? blake2s_mac(cookie_, before_mac2(message)) : Mac{};
  last_mac1_ = mac1;
  awaits_reply_ = true;
}

bool CookieJar::accept(const CookieReply& reply, Time now) noexcept {
  crypto::SecretBytes<16> cookie;
  if (!awaits_reply_ || !crypto::xaead_open(cookie.bytes(), keys_.cookie, reply.nonce,
                                            reply.sealed_cookie, last_mac1_))
    return false;
  cookie_ = cookie;
  cookie_until_ = now + cookie_lifetime - cookie_latency;
  awaits_reply_ = false;
  return true;
}

}  // namespace warren::wireguard
