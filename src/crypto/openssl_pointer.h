/// Owners of OpenSSL's objects.
#pragma once

#include <memory>

namespace warren::crypto {

template <auto free>
struct OpensslDelete {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};

/// OpensslPointer<EVP_PKEY, EVP_PKEY_free>
template <class T, auto free>
using OpensslPointer = std::unique_ptr<T, OpensslDelete<free>>;

}  // namespace warren::crypto
